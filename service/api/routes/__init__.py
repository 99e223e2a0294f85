"""The routes: each parses a request, calls one flow, and writes the response."""
