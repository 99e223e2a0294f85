"""Study of items without history: ranked by content alone."""
