"""A reverse proxy that publishes a service under a path, on loopback, and records the requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PASSED_BACK = ("content-type", "location", "etag", "cache-control", "content-security-policy", "allow")


@dataclass
class Proxy:
    """Address of a proxy, pages that it serves itself by path, and the paths of all other requests."""

    address: str
    pages: dict[str, str] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)


@contextmanager
def prefix_proxy(backend: httpx.URL, prefix: str, *, strips: bool) -> Iterator[Proxy]:
    """Pass on requests below ``prefix``, with or without it; other requests get 502."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            if self.path in proxy.pages:
                self._respond(200, {"content-type": "text/html; charset=utf-8"}, proxy.pages[self.path].encode())
                return
            proxy.paths.append(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if not f"{self.path}/".startswith(f"{prefix}/"):
                self.send_error(502)
                return
            path = (self.path.removeprefix(prefix) or "/") if strips else self.path
            connection = HTTPConnection(backend.host, backend.port, timeout=20)
            connection.request(self.command, path, body, dict(self.headers))
            response = connection.getresponse()
            content = response.read()
            connection.close()
            headers = {name: response.headers[name] for name in PASSED_BACK if response.headers[name]}
            self._respond(response.status, headers, content)

        def _respond(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
