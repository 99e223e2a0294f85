"""What a user would pick instead, each behind one interface, each in a virtual environment of its own.

``peer`` says what the comparison asks of all; one module a peer answers. What runs inside a peer's environment
stands in ``programs`` and imports nothing of kshot.
"""
