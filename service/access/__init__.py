"""API keys: the file that lists them, and their check on each request."""
