"""The stories of the service: recommend, give feedback."""
