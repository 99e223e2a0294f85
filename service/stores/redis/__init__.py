"""The user store over the Redis protocol: connections, commands, durability."""
