"""Bodies of requests and responses as documented in ``/docs``, one file per route file."""
