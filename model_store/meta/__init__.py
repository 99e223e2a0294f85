"""Meta-learning: the inner loop that adapts to one user, the outer loop that learns where it starts."""
