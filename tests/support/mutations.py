"""Malformed requests: valid requests broken in all layers, reproducible by a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

Rng = random.Random

TARGETS = (
    b"/recommend?user_id=ann",
    b"/recommend?user_id=ann&k=500&include_seen=true",
    b"/feedback",
    b"/metrics",
    b"/health/live",
    b"/health/ready",
    b"/docs",
    b"/openapi.json",
    b"/users/ann",
    b"/users/ann/events/1",
    b"/",
)
STRANGE_TARGETS = (
    b"/recommend?user_id=%00",
    b"/recommend?user_id=%ff%fe",
    b"/recommend?user_id=%ED%A0%80",
    b"/recommend?user_id=%",
    b"/recommend?user_id=%zz&k=%31%30",
    b"/recommend?user_id=" + 300 * b"%F0%9F%98%80",
    b"/recommend?user_id=ann&k=99999999999999999999999999",
    b"/recommend?user_id=ann&k=-0",
    b"/recommend?user_id=ann&k=1e1",
    b"/recommend?user_id=ann&k=\xd9\xa3",
    b"/recommend?user_id=ann&user_id=bob&k=1&k=2",
    b"/recommend?" + 2000 * b"a=1&",
    b"/recommend?user_id=" + 20_000 * b"u",
    b"/recommend?user_id=\r\nX: y",
    b"/recommend#?user_id=ann",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"//recommend?user_id=ann",
    b"/recommend/",
    b"/users/%00",
    b"/users/%ED%A0%80/events/%ff",
    b"/users/" + 3000 * b"u",
    b"/users//events/",
    b"/users/ann/events/" + 100 * b"../",
    b"http://elsewhere/recommend?user_id=ann",
    b"*",
    b"?",
    b"",
    b"\xff\xfe",
    "/recommend?user_id=ä".encode("latin-1"),
)
METHODS = (b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"CONNECT", b"PRI", b"get", b"")
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/", b"")
LENGTHS = (
    b"0",
    b"-1",
    b"1",
    b"1e3",
    b"0x10",
    b"+5",
    b" 5",
    b"5, 5",
    b"99999999999999999999",
    b"18446744073709551616",
    b"",
)
HEADERS = (
    b"x: " + 10_000 * b"y",
    b"x" + 10_000 * b"y" + b": z",
    b"\r\n".join(b"h%d: v" % number for number in range(500)),
    b"nul: a\0b",
    b"no colon",
    b": no name",
    b"folded: a\r\n b",
    b"latin: \xe4\xff",
    b"expect: 100-continue",
    b"expect: miracles",
    b"upgrade: websocket\r\nconnection: upgrade",
    b"upgrade: h2c\r\nconnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    b"content-encoding: gzip",
    b"content-type: multipart/form-data; boundary=x",
    b"content-type: application/json; charset=utf-16",
    b"content-type: application/" + 500 * b"j",
    b"x-request-id: " + 200 * b"i",
    b"x-request-id: a\tb",
    b"accept-encoding: \xf0\x9f\x98\x80",
    b"range: bytes=0-0,-1",
    b"host: a\r\nhost: b",
    b"transfer-encoding: chunked",
    b"transfer-encoding: gzip, chunked",
    b"transfer-encoding: identity",
)
CHUNKS = (
    b"0\r\n\r\n",
    b"5\r\nabc\r\n0\r\n\r\n",
    b"3\r\nabcdef\r\n0\r\n\r\n",
    b"-1\r\na\r\n0\r\n\r\n",
    b"zz\r\na\r\n0\r\n\r\n",
    b"ffffffffffffffff1\r\na\r\n",
    b"7fffffffffffffff\r\na\r\n",
    b"2;" + 5000 * b"e" + b"=1\r\n{}\r\n0\r\n\r\n",
    b"2\r\n{}\r\n0\r\ntrailer: x\r\n\r\n",
    b"2\r\n{}\r\n0\r\n" + 2000 * b"t: x\r\n" + b"\r\n",
    b"2\n{}\n0\n\n",
    200 * b"1\r\n \r\n" + b"0\r\n\r\n",
)
# Values in the text of a body; most of them are invalid JSON.
VALUES = (
    b"NaN",
    b"-NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"-1e400",
    b"1e-400",
    b"-0",
    b"-0.0",
    b"00",
    b"1" + 400 * b"0",
    b"1" + 6000 * b"0",
    b"0." + 6000 * b"1",
    b"null",
    b"true",
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\u0000"',
    b'"\0"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\xf0\x9f\x98\x80"',
    b'"' + 300 * b"x" + b'"',
    b'"' + 100_000 * b"x" + b'"',
    b'"\\u202e\\u0007\\n\\r"',
    b'"5"',
    b'"' + 64 * b"}" + b'"',
    b"[]",
    b"{}",
    b"[[[[[[5]]]]]]",
    b'{"$ref": "#"}',
    b'"unterminated',
    b"'single'",
    b"0x10",
    b"/* comment */ 5",
    b"",
)
FIELDS = (b"user_id", b"events", b"item_id", b"value", b"type", b"event_id", b"timestamp", b"attributes", b"__proto__")
BODIES = (
    b"",
    b" ",
    b"null",
    b"[]",
    b'"feedback"',
    b"\xef\xbb\xbf{}",
    '{"user_id":"ann"}'.encode("utf-16"),
    '{"user_id":"ann"}'.encode("utf-32"),
    b"\0" * 100,
    b"\xff" * 100,
    500 * b"[",
    50_000 * b"[",
    5_000 * b'{"a":',
    b"[" + 20_000 * b"1," + b"1]",
    b'{"user_id":"ann","events":[' + 300 * b'{"item_id":"g1-1","value":5},' + b'{"item_id":"g1-1","value":5}]}',
    b'{"user_id":"ann","user_id":"bob","events":[{"item_id":"g1-1","value":5,"value":1}]}',
    b'{"user_id":"ann","attributes":{' + b",".join(b'"a%d":1' % number for number in range(2000)) + b"}}",
    b"user_id=ann&value=5",
    b"<user_id>ann</user_id>",
    b'{"user_id":"ann","events":[]}}',
    b'{"user_id":"ann","events":[{"item_id":"g1-1","value":5}]}\0',
)


def request(
    method: bytes, target: bytes, body: bytes = b"", *, headers: bytes = b"", version: bytes = b"HTTP/1.1"
) -> bytes:
    """A request that closes its connection, so that the response ends."""
    length = b"content-length: %d\r\n" % len(body) if body else b""
    extra = headers + b"\r\n" if headers else b""
    kind = b"content-type: application/json\r\n"
    return b"%b %b %b\r\nhost: kshot\r\nconnection: close\r\n%b%b%b\r\n%b" % (
        method,
        target,
        version,
        kind,
        length,
        extra,
        body,
    )


def good(rng: Rng) -> bytes:
    """A valid request."""
    if rng.random() < 0.5:
        return request(b"GET", rng.choice(TARGETS))
    return request(b"POST", b"/feedback", good_body(rng))


def good_body(rng: Rng) -> bytes:
    """The body of valid feedback."""
    events = [_event(rng) for _ in range(rng.randint(1, 4))]
    content: dict[str, object] = {"user_id": f"fuzz-{rng.randrange(200)}", "events": events}
    if rng.random() < 0.2:
        content["attributes"] = {"guild": "guild 1", "tags": ["a", "b"], "age": 5}
    return json.dumps(content).encode()


def _event(rng: Rng) -> dict[str, object]:
    event: dict[str, object] = {"item_id": f"g{rng.randrange(8)}-{rng.randrange(30)}", "value": rng.randint(1, 5)}
    if rng.random() < 0.3:
        event |= {"event_id": str(rng.randrange(1000)), "timestamp": rng.randrange(1_700_000_000)}
    return event


def flipped(rng: Rng) -> bytes:
    """Bytes at random positions changed, dropped, doubled or inserted."""
    content = bytearray(good(rng))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(content))
        match rng.randrange(4):
            case 0:
                content[at] = rng.randrange(256)
            case 1:
                del content[at : at + rng.randint(1, 8)]
                content = content or bytearray(b"\0")
            case 2:
                content[at:at] = content[at : at + rng.randint(1, 64)]
            case _:
                content[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(content)


def truncated(rng: Rng) -> bytes:
    """The beginning of a request."""
    whole = good(rng)
    return whole[: rng.randrange(1, len(whole))]


def strange_target(rng: Rng) -> bytes:
    """An invalid or unexpected method, target or version."""
    version = rng.choice(VERSIONS) if rng.random() < 0.3 else b"HTTP/1.1"
    return request(rng.choice(METHODS), rng.choice(STRANGE_TARGETS + TARGETS), version=version)


def strange_headers(rng: Rng) -> bytes:
    """Headers that are too large, too many, contradictory or invalid."""
    headers = b"\r\n".join(rng.choice(HEADERS) for _ in range(rng.randint(1, 3)))
    return request(b"POST", b"/feedback", good_body(rng), headers=headers)


def wrong_length(rng: Rng) -> bytes:
    """A length that differs from the body's."""
    body = good_body(rng)
    lengths = (*LENGTHS, b"%d" % (len(body) + rng.choice((-3, -1, 1, 100))))
    return request(b"POST", b"/feedback", headers=b"content-length: " + rng.choice(lengths)) + body


def wrong_chunks(rng: Rng) -> bytes:
    """Invalid chunks."""
    return request(b"POST", b"/feedback", headers=b"transfer-encoding: chunked") + rng.choice(CHUNKS)


def strange_value(rng: Rng) -> bytes:
    """Feedback with the value of one field replaced, doubled or added."""
    name, value = rng.choice(FIELDS), rng.choice(VALUES)
    event = b'"item_id":"g1-1","value":5'
    in_event = rng.random() < 0.7
    if in_event:
        event += b',"%b":%b' % (name, value)
    outside = b"" if in_event else b',"%b":%b' % (name, value)
    body = b'{"user_id":"ann","events":[{%b}]%b}' % (event, outside)
    return request(b"POST", b"/feedback", body)


def strange_body(rng: Rng) -> bytes:
    """A body that is not feedback."""
    return request(rng.choice((b"POST", b"GET")), b"/feedback", rng.choice(BODIES))


def noise(rng: Rng) -> bytes:
    """Random bytes."""
    return rng.randbytes(rng.randint(1, 400)) + rng.choice((b"", b"\r\n\r\n"))


def several(rng: Rng) -> bytes:
    """Pipelined requests, the last one broken."""
    first = good(rng).replace(b"connection: close\r\n", b"")
    return first * rng.randint(1, 5) + flipped(rng)


KINDS: tuple[Callable[[Rng], bytes], ...] = (
    good,
    flipped,
    truncated,
    strange_target,
    strange_headers,
    wrong_length,
    wrong_chunks,
    strange_value,
    strange_body,
    noise,
    several,
)


def mutated(seed: int, number: int) -> tuple[str, bytes]:
    """Kind and bytes of one request; equal for equal seed and number."""
    rng = random.Random(f"{seed}/{number}")
    kind = KINDS[number % len(KINDS)]
    return kind.__name__, kind(rng)
