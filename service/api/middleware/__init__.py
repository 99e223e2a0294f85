"""Layers around the routes, each a plain ASGI class; ``app.MIDDLEWARE`` gives their order."""
