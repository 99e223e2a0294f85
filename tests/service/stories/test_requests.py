"""Requests in other forms than the plain one: encoded bodies, HEAD, trailing slashes, unknown parameters."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from raw_http import connected, until_closed
from running_service import Running

from service.api.middleware.body import MAX_BODY_BYTES, MAX_GZIP_PARTS

JSON = {"Content-Type": "application/json"}


def bare_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


def feedback(user: str) -> bytes:
    return json.dumps({"user_id": user, "events": [{"item_id": "g1-1", "value": 5}]}).encode()


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("x-gzip", gzip.compress),
        ("identity, gzip", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),  # as of a flushed stream
        ("deflate", zlib.compress),
        ("deflate", bare_deflate),
        ("identity", bytes),
        ("", bytes),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "application/vnd.shop+json"])  # with and without the fast path
def test_an_encoded_body_means_what_it_encodes(service: Running, user: str, encoding, encode, kind: str) -> None:
    headers = {"Content-Encoding": encoding, "Content-Type": kind}
    answer = service.client.post("/feedback", content=encode(feedback(user)), headers=headers)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text
    assert service.recommend(user)["state"]["events"] == 1


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, deflate", "aws-chunked"])
def test_an_unsupported_encoding_is_named(service: Running, user: str, encoding: str) -> None:
    answer = service.client.post("/feedback", content=feedback(user), headers=JSON | {"Content-Encoding": encoding})
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert answer.json()["detail"] == f"content-encoding: {encoding}, expected gzip or deflate, once, or none"


@pytest.mark.parametrize(
    ("encoding", "body", "error"),
    [
        ("gzip", b"{}", "not gzip: incorrect header check"),
        ("gzip", gzip.compress(b"{}" * 99)[:-9], "not gzip: it ends early"),
        ("gzip", gzip.compress(b"{}")[:-1] + b"x", "not gzip: incorrect length check"),
        ("gzip", gzip.compress(b"{}") + b"more", "not gzip: incorrect header check"),
        ("gzip", gzip.compress(b"") * (MAX_GZIP_PARTS + 1), f"not gzip: more than {MAX_GZIP_PARTS} parts"),
        ("gzip", b"", "not gzip: it ends early"),
        ("deflate", b"\xff\xff\xff", "not deflate: invalid block type"),
        ("gzip", gzip.compress(b"{"), "not JSON"),
    ],
)
def test_a_body_in_another_encoding_than_its_header_says_is_refused(
    service: Running, encoding: str, body: bytes, error: str
) -> None:
    answer = service.client.post("/feedback", content=body, headers=JSON | {"Content-Encoding": encoding})
    assert answer.status_code == 422
    assert error in answer.json()["detail"]


@pytest.mark.parametrize("parts", [1, 2])
def test_a_body_that_is_too_large_when_decoded_is_refused(service: Running, parts: int) -> None:
    """A hundred megabytes in a hundred kilobytes: decoding stops at the limit."""
    bomb = gzip.compress(b" " * (MAX_BODY_BYTES // parts + 1)) * parts
    assert len(bomb) < 10_000
    for body in (bomb, gzip.compress(b" " * (100 << 20), 9)):
        answer = service.client.post("/feedback", content=body, headers=JSON | {"Content-Encoding": "gzip"})
        assert (answer.status_code, f"over {MAX_BODY_BYTES} bytes when decoded" in answer.json()["detail"]) == (
            413,
            True,
        )
    just = b" " * (MAX_BODY_BYTES - 100) + b"{}"
    answer = service.client.post("/feedback", content=gzip.compress(just), headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.status_code == 422  # decoded, but without a user


HEADS = ["/health/live", "/health/ready", "/recommend?user_id=head&k=3", "/metrics", "/docs", "/openapi.json", "/"]


@pytest.mark.parametrize("path", [*HEADS, "/recommend", "/users/nobody", "/nowhere", "/feedback", "/recommend?k=0"])
def test_head_responds_as_get_without_the_body(service: Running, path: str) -> None:
    get, head = service.client.get(path), service.client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.status_code == 200 or path not in HEADS[:-1]
    for name in ("content-type", "location", "allow"):
        assert head.headers.get(name) == get.headers.get(name)
    if path != "/metrics":  # longer every time
        assert head.headers.get("content-length") == get.headers.get("content-length")


def test_head_sends_no_body_and_keeps_the_connection(service: Running) -> None:
    head, get = (f"{method} /health/live HTTP/1.1\r\nHost: kshot\r\n\r\n".encode() for method in ("HEAD", "GET"))
    with connected(service) as connection:
        connection.sendall(head + get)
        received = b""
        while not received.endswith(b'{"status":"live"}'):
            received += connection.recv(65_536)
    assert received.count(b"HTTP/1.1 200") == 2
    assert received.count(b'{"status":"live"}') == 1


@pytest.mark.parametrize("path", ["/recommend", "/health/live", "/health/ready", "/metrics", "/openapi.json"])
def test_a_trailing_slash_changes_nothing(service: Running, path: str) -> None:
    for method in ("GET", "HEAD"):
        plain, slashed = (service.client.request(method, sent, params=_user(path)) for sent in (path, f"{path}/"))
        assert (slashed.status_code, slashed.headers["content-type"]) == (200, plain.headers["content-type"])


def _user(path: str) -> dict[str, str]:
    return {"user_id": "slash"} if path == "/recommend" else {}


def test_feedback_with_a_trailing_slash_is_accepted(service: Running, user: str) -> None:
    answer = service.client.post("/feedback/", content=feedback(user), headers=JSON)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert service.client.get(f"/users/{user}/").json()["user_id"] == user


def test_an_encoded_trailing_slash_belongs_to_the_id(service: Running, user: str) -> None:
    service.like(f"{user}/", "g1-1")
    assert service.client.get(f"/users/{user}%2F").json()["user_id"] == f"{user}/"
    assert service.client.get(f"/users/{user}%2F/").json()["user_id"] == f"{user}/"
    assert service.client.get(f"/users/{user}").status_code == 404


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        *(("n=5", "n", "k instead"), ("limit=5", "limit", "k instead"), ("top_k=5", "top_k", "k instead")),
        *(("K=5", "K", "k instead"), ("count=5", "count", "k instead"), ("user=ann", "user", "user_id instead")),
        *(
            ("include_sen=true", "include_sen", "include_seen instead"),
            ("includeSeen=1", "includeSeen", "include_seen"),
        ),
        *(("zzz=1", "zzz", "one of the parameters user_id, k, include_seen"), ("=1", "", "one of the parameters")),
        *(("_=1700000000", "_", "one of the parameters"), ("n", "n", "k instead")),
        *(("k=5&k=10", "k", "it once"), ("user_id=bob", "user_id", "it once"), ("%6b=5&k=5", "k", "it once")),
    ],
)
def test_an_unknown_parameter_is_named_with_the_nearest_one(
    service: Running, query: str, field: str, expected: str
) -> None:
    answer = service.client.get(f"/recommend?user_id=ann&{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert error["expected"].startswith(expected)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", "/feedback?user_id=ann"), ("GET", "/users/ann?k=5"), ("DELETE", "/users/ann?dry_run=true")),
        *(("DELETE", "/users/ann/events/1?x=1"), ("POST", "/feedback/?x=1")),
    ],
)
def test_routes_without_parameters_refuse_parameters(service: Running, method: str, path: str) -> None:
    content = feedback("ann") if method == "POST" else None
    answer = service.client.request(method, path, content=content, headers=JSON)
    assert (answer.status_code, answer.json()["errors"][0]["expected"]) == (422, "no parameters in this query")


def test_operations_accept_any_parameters(service: Running) -> None:
    for path in ("/health/live?now=1", "/health/ready?x", "/metrics?name=a", "/docs?x=1"):
        assert service.client.get(path).status_code == 200


def test_a_refusal_of_a_long_query_is_short(service: Running) -> None:
    answer = service.client.get("/recommend?" + "&".join(f"{number}{'x' * 99}=1" for number in range(500)))
    assert answer.status_code == 422
    assert len(answer.content) < 5000


NOT_TEXT = ["%ff", "%fe", "a%80", "%c3", "%ed%a0%80", "%c0%af", "%f5%80%80%80", "%FF%FE", "ann%a0"]


@pytest.mark.parametrize("sent", NOT_TEXT)
def test_an_id_that_is_not_text_is_refused(service: Running, sent: str) -> None:
    """FastAPI decodes all of them to U+FFFD, which would be one user."""
    for method, path in (
        *(("GET", f"/recommend?user_id={sent}"), ("GET", f"/recommend?k=5&user_id={sent}"), ("HEAD", f"/users/{sent}")),
        *(("GET", f"/users/{sent}"), ("DELETE", f"/users/{sent}"), ("DELETE", f"/users/{sent}/events/1")),
    ):
        answer = service.client.request(method, path)
        assert answer.status_code == 422, (method, path)
        if method != "HEAD":
            (error,) = answer.json()["errors"]
            assert (error["field"], error["value"]) == ("user_id", f'"{sent}"')
            assert error["expected"].startswith("text in UTF-8")
    (error,) = service.client.delete(f"/users/ann/events/{sent}").json()["errors"]
    assert error["field"] == "event_id"


@pytest.mark.parametrize("path", ["/recommend?user_id=é", "/users/é"])
def test_unencoded_bytes_never_mean_another_user(service: Running, path: str) -> None:
    """Read as Latin-1, as by FastAPI, they would be another user than %C3%A9."""
    with connected(service) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: kshot\r\nConnection: close\r\n\r\n".encode())
        assert until_closed(connection).startswith((b"HTTP/1.1 400", b"HTTP/1.1 422"))


@pytest.mark.parametrize("user_id", ["\ufffd", "a\ufffdb", "é", "名前", "😀", "a+b", "a b", "%ff", "a&b=c", "a\u0000b"])
def test_every_text_is_a_distinct_user_id(service: Running, user: str, user_id: str) -> None:
    full_id = f"{user}-{user_id}"
    service.like(full_id, "g1-1")
    assert service.recommend(full_id)["source"] == "adapted"
    assert service.client.request("GET", "/recommend/", params={"user_id": full_id}).json()["user_id"] == full_id
