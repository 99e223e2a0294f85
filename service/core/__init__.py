"""Values, rules and ports of the service: no I/O, no clock."""
