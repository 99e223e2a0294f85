"""The routes: each parses a request, calls one flow, and answers."""
