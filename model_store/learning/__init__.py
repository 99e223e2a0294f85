"""Learning: training, and every choice made by validation users."""
