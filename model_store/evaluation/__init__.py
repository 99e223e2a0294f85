"""Evaluation: cohorts of users, the k-shot protocol, metrics, and comparisons of models."""
