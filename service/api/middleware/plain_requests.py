"""Requests in their plain form: HEAD as GET, a path without the proxy's prefix and without a slash at its end."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Its page names its parts relative to /docs, so it is redirected instead; see ``pages``.
KEPT = frozenset({"/", "/docs/"})


class PlainRequests:
    """Wraps the application, so that whatever it guards, counts or limits by path meets one spelling of each."""

    def __init__(self, app: ASGIApp, *, root_path: str = "") -> None:
        """Take the path under which a proxy publishes the service, "" for none; proxies may strip it or not."""
        self.app = app
        self._prefix = f"{root_path}/" if root_path else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; to HEAD as to GET, without the body."""
        if scope["type"] != "http" or self._is_plain(scope):
            await self.app(scope, receive, send)
            return
        plain = self._plain(scope)
        try:
            await self.app(plain, receive, _without_body(send) if scope["method"] == "HEAD" else send)
        finally:
            if "route" in plain:  # found by the router, for whoever counts by it
                scope["route"] = plain["route"]

    def _is_plain(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return not (scope["method"] == "HEAD" or path.endswith("/") or (self._prefix and path.startswith(self._prefix)))

    def _plain(self, scope: Scope) -> Scope:
        path, sent = scope["path"], scope["raw_path"]
        prefix = self._prefix.encode()
        if prefix and sent.startswith(prefix):
            path, sent = path[len(prefix) - 1 :], sent[len(prefix) - 1 :]
        if sent.endswith(b"/") and path not in KEPT:  # an id may end with an encoded one
            path, sent = path[:-1], sent[:-1]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return {**scope, "method": method, "path": path, "raw_path": sent}


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
