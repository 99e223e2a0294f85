"""The model store's subcommands of ``kshot``: parse options, call one flow or study, print the result."""
