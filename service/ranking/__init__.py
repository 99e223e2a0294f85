"""Pure stages that make a list for a user."""
