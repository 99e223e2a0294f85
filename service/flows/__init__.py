"""The stories of the service: recommend, accept feedback, show and forget a user's data."""
