"""The summands of a score."""
