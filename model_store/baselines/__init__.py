"""Baselines: models that score the catalogue from the liked part of a support, and their tuning."""
