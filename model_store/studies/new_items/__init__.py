"""Studies of items without history."""
