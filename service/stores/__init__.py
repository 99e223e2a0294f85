"""The user store: versioned records in Redis, somewhere else or embedded."""
