"""HTTP only: parse, call one flow, answer."""
