"""Parts of a request, measured in one process."""
