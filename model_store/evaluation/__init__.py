"""Judging honestly: the k-shot protocol, its metrics, and baselines tuned on validation users."""
