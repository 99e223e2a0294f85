"""Flows: from data to a published bundle, and from a bundle to its figures."""
