"""Meta-learned rating prediction: what a user would give an item, for protocols that judge ratings and not lists."""
