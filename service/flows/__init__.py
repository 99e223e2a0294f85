"""The stories of the service: recommend, give feedback, show and forget what is held."""
