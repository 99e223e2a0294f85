"""Peek at a request body and replay it to the next ASGI layer; decode its content encoding."""

from __future__ import annotations

import zlib

from starlette.types import Message, Receive, Scope

from service.errors import BodyTooLarge, EncodingUnsupported, Fault, InvalidRequest

MAX_BODY_BYTES = 1 << 20
ENCODINGS = ("gzip", "deflate")
ALIASES = {"x-gzip": "gzip"}
# Every part of a gzip file costs a copy of the rest; clients that stream write a few.
MAX_GZIP_PARTS = 64
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's numbers of the three formats, with the largest window


async def peek_body(receive: Receive) -> tuple[bytes, Receive]:
    """The body in the next message of ``receive``, and a ``receive`` that returns this message again."""
    message = await receive()
    return message.get("body", b""), replaying(message, receive)


def replaying(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that returns ``message`` first, then the messages of ``receive``."""
    pending = [message]

    async def receive_after() -> Message:
        return pending.pop() if pending else await receive()

    return receive_after


def encoding_of(scope: Scope) -> str | None:
    """The content encoding of a request, None for a plain body.

    Raises:
        EncodingUnsupported: the encoding is not in ENCODINGS, or there are several.
    """
    headers = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if not headers:
        return None
    tokens = [token.strip().lower() for token in b",".join(headers).decode("latin-1").split(",")]
    encodings = [ALIASES.get(token, token) for token in tokens if token not in ("", "identity")]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in ENCODINGS:
        raise EncodingUnsupported(
            f"content-encoding: {', '.join(encodings)[:80]}, expected {' or '.join(ENCODINGS)}, once, or none"
        )
    return encodings[0]


def decoded(body: bytes, encoding: str | None) -> bytes:
    """``body`` without its encoding.

    Raises:
        BodyTooLarge: the decoded body exceeds MAX_BODY_BYTES; decoding stops there.
        InvalidRequest: the body is not in this encoding, or is incomplete.
    """
    if encoding is None:
        return body
    content, rest = b"", body
    try:
        for _ in range(MAX_GZIP_PARTS):
            decoder = zlib.decompressobj(_format(body, encoding))
            content += decoder.decompress(rest, MAX_BODY_BYTES + 1 - len(content))
            if len(content) > MAX_BODY_BYTES:
                raise BodyTooLarge(
                    f"body: over {MAX_BODY_BYTES} bytes when decoded, expected at most that; send fewer events"
                )
            rest = decoder.unused_data
            if not decoder.eof or not rest:
                break
    except zlib.error as exc:
        raise _damaged(encoding, str(exc).rpartition(": ")[2]) from exc
    if not decoder.eof:
        raise _damaged(encoding, "it ends early")
    if rest:
        raise _damaged(encoding, _surplus(encoding))
    return content


def _surplus(encoding: str) -> str:
    return f"more than {MAX_GZIP_PARTS} parts" if encoding == "gzip" else "extra bytes after its end"


def _format(body: bytes, encoding: str) -> int:
    """Zlib's number of the format. For "deflate" the standard means zlib, and many clients send raw deflate."""
    if encoding == "gzip":
        return _GZIP
    has_header = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return _ZLIB if has_header else _RAW


def _damaged(encoding: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        [Fault("body", f"not {encoding}: {reason}", f"a body in {encoding}, as content-encoding says")]
    )
