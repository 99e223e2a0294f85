"""Requests in their plain form: HEAD as GET, paths without the proxy's prefix and without a trailing slash."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# "/docs/" is redirected instead, because the page's assets have relative addresses; see ``web.docs``.
KEPT = frozenset({"/", "/docs/"})


class PlainRequests:
    """Gives every path one spelling, so that the layers below can compare paths."""

    def __init__(self, app: ASGIApp, *, root_path: str = "") -> None:
        """Take the path under which a proxy publishes the service, "" for none; the proxy may strip it or not."""
        self._app = app
        self._prefix = f"{root_path}/" if root_path else ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on in its plain form; a HEAD request gets the response to GET without the body."""
        if scope["type"] != "http" or self._is_plain(scope):
            await self._app(scope, receive, send)
            return
        plain = self._plain(scope)
        try:
            await self._app(plain, receive, _without_body(send) if scope["method"] == "HEAD" else send)
        finally:
            if "route" in plain:  # set by the router, for the request's metric
                scope["route"] = plain["route"]

    def _is_plain(self, scope: Scope) -> bool:
        path: str = scope["path"]
        return not (scope["method"] == "HEAD" or path.endswith("/") or (self._prefix and path.startswith(self._prefix)))

    def _plain(self, scope: Scope) -> Scope:
        path, raw_path = scope["path"], scope["raw_path"]
        prefix = self._prefix.encode()
        if prefix and raw_path.startswith(prefix):
            path, raw_path = path[len(prefix) - 1 :], raw_path[len(prefix) - 1 :]
        if raw_path.endswith(b"/") and path not in KEPT:  # the raw path, because an id may end with an encoded slash
            path, raw_path = path[:-1], raw_path[:-1]
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return {**scope, "method": method, "path": path, "raw_path": raw_path}


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head
