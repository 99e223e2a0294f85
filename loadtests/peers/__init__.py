"""Other open recommenders behind one interface, each in its virtual environment.

``peer`` defines the interface; every peer is one module. Programs that run inside a peer's environment are in
``programs`` and import nothing of kshot.
"""
