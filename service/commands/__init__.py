"""The ``kshot`` command, and the subcommands of the service: each parses its options and calls one function."""
