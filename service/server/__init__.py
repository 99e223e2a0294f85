"""Processes and connections: workers, the listening socket, limits on clients, memory, the metrics folder."""
