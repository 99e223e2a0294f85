"""Assembles routes, guards and errors into one application."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from service.api import problems
from service.api.edge import EVERYBODY, Edge
from service.api.middleware.capacity import Capacity
from service.api.middleware.fast_path import Express
from service.api.middleware.plain_requests import PlainRequests
from service.api.middleware.request_context import Guard
from service.api.routes.router import Parts, build_router
from service.web import docs as pages

DESCRIPTION = "Recommendations that change with a user's first click."

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _Application(FastAPI):
    """Documents refusals as what they are, and what its edge wants."""

    edge: Edge = EVERYBODY

    def openapi(self) -> dict[str, Any]:
        """The schema, with problems under their own content type; FastAPI knows one a route."""
        schema = super().openapi()
        operations = [operation for path in schema["paths"].values() for operation in path.values()]
        for responses in (operation["responses"] for operation in operations):
            for status, response in responses.items():
                if status >= "400" and "application/json" in response["content"]:
                    response["content"] = {problems.PROBLEM_JSON: response["content"]["application/json"]}
        self.edge.document(schema)
        return schema


def build_app(
    parts: Parts,
    lifespan: Lifespan,
    *,
    access_log: bool,
    max_under_way: int,
    edge: Edge = EVERYBODY,
    root_path: str = "",
) -> FastAPI:
    """The application over ``parts``, behind ``edge``, with ``max_under_way`` requests at once.

    ``root_path`` is where a proxy publishes it. Without one, clients that read the schema take the place of the schema.
    """
    app = _Application(
        title="kshot",
        version=version("kshot"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": root_path or "."}],
    )
    app.edge = edge
    router = build_router(parts)
    app.include_router(router)
    pages.add_docs(app, root_path)
    problems.install(app)
    app.add_middleware(Express, parts=parts, routes=router.routes)  # first, so that all others stand around it
    edge.install_rates(app)  # inside what sheds load: counting asks the store
    app.add_middleware(Capacity, limit=max_under_way)
    edge.install(app)
    app.add_middleware(PlainRequests, root_path=root_path)
    app.add_middleware(Guard, access_log=access_log)
    return app
