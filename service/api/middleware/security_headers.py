"""Security response headers, and a limit on request headers."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem

MAX_HEADERS = 100
# OWASP's list for APIs that return JSON. A response's own value takes precedence, as on the documentation page.
HEADERS = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
NAMES = frozenset(name for name, _ in HEADERS)


class SecurityHeaders:
    """Adds the headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse one with too many headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                present = [name for name, _ in headers if name in NAMES]
                message["headers"] = [*headers, *(_missing(present) if present else HEADERS)]
            await send(message)

        app = self._app if len(scope["headers"]) <= MAX_HEADERS else _refuse
        await app(scope, receive, send_with_headers)


def _missing(present: Collection[bytes]) -> list[tuple[bytes, bytes]]:
    return [header for header in HEADERS if header[0] not in present]


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    detail = f"headers: {len(scope['headers'])}, expected at most {MAX_HEADERS}"
    await problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)(scope, receive, send)
