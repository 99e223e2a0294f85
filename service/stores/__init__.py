"""Adapters of the user store: Redis or Valkey, and a server that runs embedded."""
