"""The application: routes inside middleware, and errors as problems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.api import problems
from service.api.access_policy import ADMIT_ALL, AccessPolicy
from service.api.backend import Backend
from service.api.middleware.authentication import Authentication
from service.api.middleware.capacity import Capacity
from service.api.middleware.fast_path import FastPath
from service.api.middleware.plain_requests import PlainRequests
from service.api.middleware.rate_limits import RateLimiting
from service.api.middleware.request_context import RequestContext
from service.api.middleware.security_headers import SecurityHeaders
from service.api.routes.feedback import add_feedback
from service.api.routes.operations import add_operations
from service.api.routes.recommend import add_recommend
from service.api.routes.users import add_users
from service.web import docs

DESCRIPTION = "Recommendations that change with a user's first click."
ROUTES = (add_recommend, add_feedback, add_users, add_operations)
# A request passes these from top to bottom, and its response from bottom to top.
MIDDLEWARE: tuple[Any, ...] = (
    RequestContext,  # every response has a request id and is measured, also a refusal and a bug
    PlainRequests,  # the layers below compare paths, so each path has one spelling
    SecurityHeaders,  # refusals have these headers, too
    CORSMiddleware,  # a browser's preflight request has no API key
    Authentication,  # a request without a valid key takes up no capacity
    Capacity,  # the layers below get the body whole and decoded
    RateLimiting,  # counting asks the user store, so it is subject to the capacity
    FastPath,  # replaces FastAPI's router for plain requests
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class _Application(FastAPI):
    """Documents problems and the access policy."""

    policy: AccessPolicy = ADMIT_ALL

    def openapi(self) -> dict[str, Any]:
        """The schema, with problems under their own content type; FastAPI allows one type per route."""
        schema = super().openapi()
        operations = [operation for path in schema["paths"].values() for operation in path.values()]
        for responses in (operation["responses"] for operation in operations):
            for status, response in responses.items():
                if status >= "400" and "application/json" in response["content"]:
                    response["content"] = {problems.PROBLEM_JSON: response["content"]["application/json"]}
        self.policy.document(schema)
        return schema


def build_app(
    backend: Backend,
    lifespan: Lifespan,
    *,
    access_log: bool,
    max_under_way: int,
    policy: AccessPolicy = ADMIT_ALL,
    root_path: str = "",
) -> FastAPI:
    """The application over ``backend``, under ``policy``, with at most ``max_under_way`` requests in progress.

    ``root_path`` is the path under which a proxy publishes the service. If it is empty, the schema tells clients to use
    the address that they read the schema from.
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
    app.policy = policy
    router = build_router(backend)
    app.include_router(router)
    docs.add_docs(app, root_path)
    problems.install(app)
    layers: dict[type, dict[str, Any]] = {
        RequestContext: {"access_log": access_log},
        PlainRequests: {"root_path": root_path},
        SecurityHeaders: {},
        Capacity: {"limit": max_under_way},
        FastPath: {"routes": router.routes},
    }
    add_middleware(app, layers | policy.layers())
    return app


def build_router(backend: Backend) -> APIRouter:
    """All routes of the API over ``backend``."""
    router = APIRouter()
    for add_routes in ROUTES:
        add_routes(router, backend)
    return router


def add_middleware(app: FastAPI, layers: Mapping[type, Mapping[str, Any]]) -> None:
    """Put the classes in ``layers`` around ``app`` in the order of MIDDLEWARE, each with its arguments."""
    unordered = [layer.__name__ for layer in layers if layer not in MIDDLEWARE]
    if unordered:
        raise ValueError(f"middleware {', '.join(unordered)}: not in MIDDLEWARE, expected a position there")
    for layer in reversed(MIDDLEWARE):  # FastAPI takes the innermost first
        if layer in layers:
            app.add_middleware(layer, **layers[layer])
