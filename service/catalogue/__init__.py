"""The catalogue that requests are answered from."""
