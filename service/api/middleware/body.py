"""The bodies of requests: decoded, whole, in one message, and looked into without being used up."""

from __future__ import annotations

import zlib

from starlette.types import Message, Receive, Scope

from service.errors import BodyTooLarge, EncodingUnsupported, Fault, InvalidRequest

MAX_BODY_BYTES = 1 << 20
ENCODINGS = ("gzip", "deflate")
ALIASES = {"x-gzip": "gzip"}
# Every part of a gzip file costs a copy of all that follows; whoever streams one writes a few.
MAX_GZIP_PARTS = 64
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's numbers for the three formats, with the largest window


async def look_into(receive: Receive) -> tuple[bytes, Receive]:
    """The body in ``receive``'s next message, and a ``receive`` that begins with it once more."""
    message = await receive()
    return message.get("body", b""), told_first(message, receive)


def told_first(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that tells ``message``, then what ``receive`` tells."""
    left = [message]

    async def receive_after() -> Message:
        return left.pop() if left else await receive()

    return receive_after


def encoding_of(scope: Scope) -> str | None:
    """The encoding of a request's body, None for a plain one; raises EncodingUnsupported for one not in ENCODINGS."""
    named = [value for name, value in scope["headers"] if name == b"content-encoding"]
    if not named:
        return None
    tokens = [token.strip().lower() for token in b",".join(named).decode("latin-1").split(",")]
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
        BodyTooLarge: it has more than MAX_BODY_BYTES decoded; decoding ends there.
        InvalidRequest: it is not in this encoding, or ends early.
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
        raise _damaged(encoding, _too_much(encoding))
    return content


def _too_much(encoding: str) -> str:
    return f"more than {MAX_GZIP_PARTS} parts" if encoding == "gzip" else "something follows its end"


def _format(body: bytes, encoding: str) -> int:
    """What zlib has to look for: "deflate" is its own format by the standard, and bare deflate by many clients."""
    if encoding == "gzip":
        return _GZIP
    has_header = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return _ZLIB if has_header else _RAW


def _damaged(encoding: str, reason: str) -> InvalidRequest:
    return InvalidRequest(
        [Fault("body", f"not {encoding}: {reason}", f"a body in {encoding}, as content-encoding says")]
    )
