"""Rate limits on requests, by key and by user."""

from __future__ import annotations

import math
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from service import telemetry
from service.api.middleware.authentication import KEY_ID
from service.api.middleware.body import look_into
from service.api.problems import REFUSAL, STATUS, problem
from service.errors import RateExceeded

LIMITED = ("/recommend", "/feedback", "/users/")


class Rates(Protocol):
    """Counts requests over all workers."""

    @property
    def by_user(self) -> bool:
        """Whether users have a limit, so that a request's user has to be known."""

    async def count(self, key_id: str | None, user_id: str | None) -> None:
        """Count one request; raises RateExceeded. Without its store nothing is refused."""


class RateGuard:
    """Wraps the application: requests beyond a limit go no further."""

    def __init__(self, app: ASGIApp, *, rates: Rates) -> None:
        self.app, self._rates = app, rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or say when to come again."""
        if scope["type"] == "http" and scope["path"].startswith(LIMITED):
            user_id, receive = await self._user(scope, receive)
            try:
                await self._rates.count(scope.get(KEY_ID), user_id)
            except RateExceeded as exc:
                telemetry.rate_refusals.labels(exc.by).inc()
                headers = {"Retry-After": str(max(1, math.ceil(exc.retry_after_s)))}
                await problem(STATUS[RateExceeded], str(exc), headers=headers)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _user(self, scope: Scope, receive: Receive) -> tuple[str | None, Receive]:
        """The user that a request is about, None if it names none, and its body as it came."""
        if not self._rates.by_user:
            return None, receive
        if scope["path"] == "/feedback":
            body, receive = await look_into(receive)
            return _user_of_body(body), receive
        if scope["path"].startswith("/users/"):
            return _user_of_path(scope["raw_path"]), receive
        named = parse_qs(scope["query_string"].decode("latin-1")).get("user_id")
        return (named[-1] if named else None), receive


def declare(schema: dict[str, Any]) -> None:
    """Say in an OpenAPI ``schema`` that routes may answer 429."""
    for path, operations in schema["paths"].items():
        if path.startswith(LIMITED):
            for operation in operations.values():
                operation["responses"]["429"] = {"description": "Beyond a rate limit", "content": REFUSAL}


def _user_of_path(sent: bytes) -> str | None:
    """The user that a path names; None if a part before the id is encoded, since no route has such a path.

    ``sent`` is the path as it was sent, since an id may hold a slash, which is encoded there.
    """
    text = sent.decode("ascii", "replace")
    return unquote(text.split("/")[2]) if text.startswith("/users/") else None


def _user_of_body(content: bytes) -> str | None:
    """The user that feedback names; what is wrong with a body is told by whoever reads it for good."""
    try:
        given = orjson.loads(content)
    except ValueError:
        return None
    user_id = given.get("user_id") if isinstance(given, dict) else None
    return user_id if isinstance(user_id, str) else None
