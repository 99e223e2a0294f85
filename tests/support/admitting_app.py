"""An application of two routes inside the middleware that an access policy needs."""

from __future__ import annotations

import httpx
from fastapi import FastAPI, Request, Response

from service.api import problems
from service.api.access_policy import AccessPolicy
from service.api.app import add_middleware
from service.api.middleware.capacity import Capacity
from service.api.middleware.request_context import RequestContext
from service.api.middleware.security_headers import SecurityHeaders
from service.errors import RateExceeded

REMOTE, LOOPBACK = "203.0.113.7", "127.0.0.1"


class RecordedRates:
    """A rate counter that records its calls, and refuses all of them if set so."""

    def __init__(self, *, by_user: bool, refuses: bool = False) -> None:
        self.by_user, self.refuses = by_user, refuses
        self.calls: list[tuple[str | None, str | None]] = []

    async def count(self, key_id: str | None, user_id: str | None) -> None:
        self.calls.append((key_id, user_id))
        if self.refuses:
            raise RateExceeded("requests of this user: over 2 per 1 minute, expected at most that", "user", 12.3)


def application(policy: AccessPolicy) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/{path:path}")
    async def get_any(path: str) -> Response:
        headers = {"X-Extra": "1", "Cache-Control": "max-age=60"} if path == "cached" else {}
        return Response(path, headers=headers)

    @app.post("/feedback")
    async def post_feedback(request: Request) -> int:
        return len(await request.body())

    problems.install(app)
    layers = {RequestContext: {"access_log": False}, SecurityHeaders: {}, Capacity: {"limit": 9}}
    add_middleware(app, layers | policy.layers())
    return app


def client_of(policy: AccessPolicy, address: str = REMOTE) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(policy), client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://kshot")
