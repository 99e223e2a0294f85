"""API keys: what a client may do, how keys lie on disk, and who is let in."""
