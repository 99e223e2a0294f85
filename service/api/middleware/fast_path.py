"""The express lane: plain requests of the two hot routes, answered without FastAPI's machinery.

Routing, dependencies and responses of FastAPI cost as much as reading the user, scoring the catalogue and answering
together. A request that is plainly right is answered here, by the same flow and in the same bytes; whatever is
not, wrong ones included, goes on to the application untouched. So there is one place that says what is wrong.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from urllib.parse import unquote_plus

from pydantic import ValidationError
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.middleware.body import look_into
from service.api.problems import problem_of
from service.api.routes.router import JSON, Parts, receipt, recommendation
from service.api.schemas import MAX_ID_CHARACTERS, MAX_K, Feedback
from service.errors import ServiceError

RECOMMEND, FEEDBACK = ("GET", "/recommend"), ("POST", "/feedback")
PLAIN_JSON = {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
PARAMETERS = {"user_id", "k", "include_seen"}
BOOLEANS = {"true": True, "false": False}

Lane = Callable[[Scope, Receive, Send], Awaitable[None]]


class PlainQuery(NamedTuple):
    """The parameters of GET /recommend."""

    user_id: str
    k: int
    include_seen: bool


class Express:
    """Stands before the router of ``app``, inside everything that guards it."""

    def __init__(self, app: ASGIApp, *, parts: Parts, routes: Sequence[BaseRoute]) -> None:
        """Take the application's own ``routes``: whoever guards a request finds its route in the scope."""
        self._app, self._parts = app, parts
        plain = [route for route in routes if isinstance(route, Route)]
        self._routes = {(method, route.path): route for route in plain for method in route.methods or ()}
        self._lanes: dict[tuple[str, str], Lane] = {RECOMMEND: self._recommend, FEEDBACK: self._feedback}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        lane = self._lanes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        await (lane or self._app)(scope, receive, send)

    async def _recommend(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = plain_query(scope["query_string"])
        if query is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(RECOMMEND, recommendation(self._parts, *query), scope, receive, send)

    async def _feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] or not _says_json(scope):
            await self._app(scope, receive, send)
            return
        scope["route"] = self._routes[FEEDBACK]
        body, receive = await look_into(receive)
        feedback = plain_feedback(body)
        if feedback is None:
            await self._app(scope, receive, send)
        else:
            await self._answer(FEEDBACK, receipt(self._parts, feedback), scope, receive, send)

    async def _answer(
        self, lane: tuple[str, str], answer: Awaitable[bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["route"] = self._routes[lane]
        try:
            body = await answer
        except ServiceError as exc:
            await problem_of(exc)(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", JSON.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def plain_query(query: bytes) -> PlainQuery | None:
    """The parameters of GET /recommend where they are plainly right; None leaves the judgement to FastAPI."""
    try:
        given = [part.split("=", 1) for part in query.decode("ascii").split("&")]
        values = dict(given)
    except ValueError:  # not ASCII, or a part without "="
        return None
    if len(values) != len(given) or not values.keys() <= PARAMETERS:
        return None
    user_id = unquote_plus(values.get("user_id", ""))
    k, include_seen = values.get("k", "20"), BOOLEANS.get(values.get("include_seen", "false"))
    # As many characters as MAX_K has, so that no endless number is read.
    if not (1 <= len(user_id) <= MAX_ID_CHARACTERS and k.isdigit() and len(k) <= len(str(MAX_K))):
        return None
    # A replacement character may be one, or bytes that are not UTF-8.
    if not 1 <= int(k) <= MAX_K or include_seen is None or "\ufffd" in user_id:
        return None
    return PlainQuery(user_id, int(k), include_seen)


def plain_feedback(body: bytes) -> Feedback | None:
    """The feedback in a JSON body where it is plainly right; None leaves the judgement to FastAPI."""
    try:
        return Feedback.model_validate_json(body)
    except ValidationError:
        return None


def _says_json(scope: Scope) -> bool:
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    return len(types) == 1 and types[0].lower() in PLAIN_JSON
