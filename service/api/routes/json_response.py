"""A response of finished JSON."""

from __future__ import annotations

from fastapi import Response


class JSONBytes(Response):
    """Status 200 with ``body`` as it is; starlette's own constructor takes three times as long."""

    media_type = "application/json"

    def __init__(self, body: bytes) -> None:
        self.status_code, self.body, self.background = 200, body, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
