"""The model in the service: the live bundle, and how it is swapped."""
