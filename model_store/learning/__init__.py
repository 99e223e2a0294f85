"""Learning: training, and every choice that is made on validation users."""
