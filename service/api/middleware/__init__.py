"""Layers around every route, each a plain ASGI class; ``app`` gives their order."""
