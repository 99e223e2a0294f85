"""What every answer tells a browser: nothing to guess, to frame, to keep or to pass on; and heads of bounded length."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem

MAX_HEADERS = 100
# OWASP's list for interfaces that answer JSON. What an answer says of these itself, as the page of the documentation
# does with its policy, stays.
HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
NAMES = frozenset(name for name, _ in HEADERS)


class SecurityHeaders:
    """Wraps the application."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with these headers; refuse one with too many of its own."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                own = [name for name, _ in given if name in NAMES]
                message["headers"] = [*given, *(_missing(own) if own else HEADERS)]
            await send(message)

        app = self.app if len(scope["headers"]) <= MAX_HEADERS else _too_many
        await app(scope, receive, send_with_headers)


def _missing(own: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    return [header for header in HEADERS if header[0] not in own]


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"headers: {len(scope['headers'])}, expected at most {MAX_HEADERS}"
    await problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)(scope, receive, send)
