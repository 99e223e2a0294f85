"""Processes and connections: workers, limits on clients, the folder of metrics."""
