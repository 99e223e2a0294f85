"""Rate limits on requests, per API key and per user."""

from __future__ import annotations

import math
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.api.middleware.authentication import KEY_ID
from service.api.middleware.body import peek_body
from service.api.problems import CONTENT, problem, status_of
from service.errors import RateExceeded

LIMITED = ("/recommend", "/feedback", "/users/")


class RateCounter(Protocol):
    """Counts requests over all workers."""

    @property
    def by_user(self) -> bool:
        """Whether users have a limit, so that ``count`` needs a request's user."""

    async def count(self, key_id: str | None, user_id: str | None) -> None:
        """Count one request; raises RateExceeded. While its store is unreachable every request passes."""


class RateLimiting:
    """Refuses requests beyond a limit."""

    def __init__(self, app: ASGIApp, *, rates: RateCounter) -> None:
        self._app, self._rates = app, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with the time to wait."""
        if scope["type"] == "http" and scope["path"].startswith(LIMITED):
            user_id, receive = await self._user(scope, receive)
            try:
                await self._rates.count(scope.get(KEY_ID), user_id)
            except RateExceeded as exc:
                telemetry.rate_refusals.labels(exc.by).inc()
                headers = {"Retry-After": str(max(1, math.ceil(exc.retry_after_s)))}
                await problem(status_of(exc), str(exc), headers=headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _user(self, scope: Scope, receive: Receive) -> tuple[str | None, Receive]:
        """The user in a request, None without one, and a ``receive`` for its whole body."""
        if not self._rates.by_user:
            return None, receive
        if scope["path"] == "/feedback":
            body, receive = await peek_body(receive)
            return _user_of_body(body), receive
        if scope["path"].startswith("/users/"):
            return _user_of_path(scope["raw_path"]), receive
        user_ids = parse_qs(scope["query_string"].decode("latin-1")).get("user_id")
        return (user_ids[-1] if user_ids else None), receive


def document(schema: dict[str, Any]) -> None:
    """Add the refusal to the limited operations in an OpenAPI ``schema``."""
    for path, operations in schema["paths"].items():
        if path.startswith(LIMITED):
            for operation in operations.values():
                operation["responses"]["429"] = {"description": "A rate limit is exceeded", "content": CONTENT}


def _user_of_path(raw_path: bytes) -> str | None:
    """The user in a path; None if "/users/" itself is percent-encoded, because such paths match no route.

    ``raw_path`` is the path before decoding, because a slash in an id is encoded there.
    """
    text = raw_path.decode("ascii", "replace")
    return unquote(text.split("/")[2]) if text.startswith("/users/") else None


def _user_of_body(body: bytes) -> str | None:
    """The user in a feedback body; None for an invalid body, which the route refuses."""
    try:
        feedback = orjson.loads(body)
    except ValueError:
        return None
    user_id = feedback.get("user_id") if isinstance(feedback, dict) else None
    return user_id if isinstance(user_id, str) else None
