"""From a data source to episodes: read tables, clean, order and code the events, split the users."""
