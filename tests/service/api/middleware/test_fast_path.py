"""The fast path responds as FastAPI would, byte for byte, and leaves all other requests to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from fastapi import Depends, FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore

from service.api import problems
from service.api.app import build_router
from service.api.backend import Backend
from service.api.middleware.capacity import Capacity
from service.api.middleware.fast_path import BodyReader, FastPath, QueryReader, parameters_of
from service.api.routes.recommend import IncludeSeen, K, UserId
from service.api.schemas.feedback import Feedback
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow
from service.scoring.live import LiveBundle

NOW = 1_700_000_000.0
JSON = [(b"content-type", b"application/json")]

Response = tuple[int, dict[bytes, bytes], bytes]


class App:
    """The routes, behind the fast path or without it."""

    def __init__(self, live: LiveBundle, *, is_fast: bool) -> None:
        store = MemoryStore()
        feedback, forget = FeedbackFlow(store, clock=lambda: NOW, deadline_s=60), ForgetFlow(store, deadline_s=60)
        router = build_router(Backend(live, store, feedback, forget))
        self.passed_on = 0
        self.routes = FastAPI()
        self.routes.include_router(router)
        problems.install(self.routes)
        fast_path = FastPath(self._pass_on, routes=router.routes)
        self._app: Any = Capacity(fast_path, limit=1) if is_fast else self.routes

    async def _pass_on(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed_on += 1
        await self.routes(scope, receive, send)

    def request(self, method: str, path: str, query: bytes = b"", body: bytes = b"", headers: Any = JSON) -> Response:
        """Status, headers and body of one request."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(b"host", b"kshot"), *headers],
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 9),
            "state": {},
        }
        # In two parts, as a body may arrive.
        parts = [{"body": body[:7], "more_body": True}, {"body": body[7:], "more_body": False}]
        messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", **part} for part in parts])
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return next(messages)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        run: Callable[[Any, Any, Any], Awaitable[None]] = self._app
        asyncio.run(run(scope, receive, send))  # type: ignore[arg-type]
        return sent[0]["status"], dict(sent[0]["headers"]), b"".join(part.get("body", b"") for part in sent[1:])


@pytest.fixture(scope="module")
def live(trained_store: Path) -> LiveBundle:
    return LiveBundle(trained_store, threads=1)


@pytest.fixture
def fast(live: LiveBundle) -> App:
    return App(live, is_fast=True)


@pytest.fixture
def plain(live: LiveBundle) -> App:
    return App(live, is_fast=False)


QUERIES = [
    *(b"user_id=ann", b"user_id=ann&k=5", b"k=500&user_id=ann", b"user_id=ann&include_seen=true&k=1"),
    *(b"user_id=a%20b&k=2", b"user_id=a+b&k=2", b"user_id=%C3%A9&k=2", b"user_id=%ff&k=2", b"user_id=a%3D%26&k=2"),
    *(b"user_id=a=b&k=2", b"user_id=" + 256 * b"x" + b"&k=1", b"user_id=" + 257 * b"x", b"user_id=", b"", b"k=5"),
    *(b"user_id=ann&k=0", b"user_id=ann&k=501", b"user_id=ann&k=-1", b"user_id=ann&k=5.0", b"user_id=ann&k=05"),
    *(b"user_id=ann&k=five", b"user_id=ann&k=", b"user_id=ann&k=%35", b"user_id=ann&k=" + 5000 * b"9"),
    *(b"user_id=ann&k=1&k=2", b"user_id=ann&user_id=bob&k=1", b"user_id=ann&other=1&k=1", b"user_id=ann&k=1&"),
    *(b"user_id=ann&include_seen=1&k=1", b"user_id=ann&include_seen=maybe", b"user_id=ann&include_seen=True&k=1"),
    *(b"user_id=\xc3\xa9&k=1", b"user_id=ann;k=1", b"user_id", b"&", b"=", b"USER_ID=ann", b"user%5Fid=ann&k=1"),
    *(b"user_id=%EF%BF%BD&k=1", b"user_id=a%fe&k=1", b"user_id=%ED%A0%80", b"user_id=ann&k=%ff", b"%ff=1&user_id=ann"),
]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_gets_the_response_of_the_route(fast: App, plain: App, query: bytes) -> None:
    assert fast.request("GET", "/recommend", query) == plain.request("GET", "/recommend", query)


@pytest.mark.parametrize("sent", [b"%ff", b"%fe", b"a%80", "é".encode(), b"\xff", b"%ED%A0%80"])
def test_bytes_that_are_not_utf_8_never_merge_two_users(fast: App, sent: bytes) -> None:
    status, _, body = fast.request("GET", "/recommend", b"k=1&user_id=" + sent)
    assert (status, json.loads(body)["errors"][0]["field"]) == (422, "user_id")


def test_feedback_with_a_query_gets_the_response_of_the_route(fast: App, plain: App) -> None:
    request = ("POST", "/feedback", b"user_id=bob", json.dumps(BODIES[0]).encode())
    assert fast.request(*request) == plain.request(*request)
    assert fast.request(*request)[0] == 422


EVENT = {"item_id": "g1-1", "value": 5, "event_id": "e", "timestamp": NOW - 5}
BODIES = [
    *({"user_id": "ann", "events": [EVENT]}, {"user_id": "ann", "attributes": {"a": [], "b": 1, "c": True}}),
    *({"user_id": "ann", "events": [EVENT, EVENT, {"item_id": "nothing", "type": "like"}]}, {"user_id": "ann"}),
    *({"user_id": "", "events": [EVENT]}, {"events": [EVENT]}, [], None, 5, {}, {"user_id": 1, "events": [EVENT]}),
    *({"user_id": "ann", "events": [EVENT | {"value": 6}]}, {"user_id": "ann", "events": [EVENT | {"value": "5"}]}),
    *({"user_id": "ann", "events": [EVENT | {"value": None}]}, {"user_id": "ann", "events": [EVENT] * 257}),
    *({"user_id": "ann", "events": [EVENT], "other": 1}, {"user_id": "ann", "events": [EVENT | {"timestamp": -1}]}),
    *({"user_id": "ann", "events": [EVENT | {"value": 10**400}]}, {"user_id": "\ud800", "events": [EVENT]}),
    *({"user_id": "ann", "events": [EVENT | {"value": float("nan")}]}, {"user_id": "ann", "attributes": {"a": {}}}),
]
TEXTS = [
    *(b"", b"{", b'{"user_id":"ann"', b"\xff", b'{"user_id":"ann","events":[]}', b"\xef\xbb\xbf{}", b"[" * 5000),
    *(b'{"user_id":"ann","user_id":"bob","attributes":{}}', b' {"user_id" : "ann","attributes":{"a":1e3}}\n'),
    '{"user_id":"ann","attributes":{"a":"é"}}'.encode("utf-16"),
    b'{"user_id":"ann","attributes":{"a":-0.0,"b":0.1,"c":12345678901234567890,"d":"\\u00e9\\n"}}',
    b'{"user_id":"ann","attributes":{"a":"tab\there"}}',
]


@pytest.mark.parametrize(
    "body", [*(json.dumps(body).encode() for body in BODIES), *TEXTS], ids=lambda body: f"{len(body)} bytes"
)
def test_every_body_gets_the_response_of_the_route(fast: App, plain: App, body: bytes) -> None:
    for _ in range(2):  # the second time with duplicates
        assert fast.request("POST", "/feedback", body=body) == plain.request("POST", "/feedback", body=body)
    request = ("GET", "/recommend", b"user_id=ann&k=3")
    assert fast.request(*request) == plain.request(*request)


@pytest.mark.parametrize(
    "kind",
    [
        *(b"application/json", b"APPLICATION/JSON", b"application/json; charset=utf-8", b"application/problem+json"),
        *(b"text/plain", b"application/x-www-form-urlencoded", b"", b"application/json, text/plain"),
    ],
)
def test_every_content_type_gets_the_response_of_the_route(fast: App, plain: App, kind: bytes) -> None:
    body = json.dumps(BODIES[0]).encode()
    for headers in ([(b"content-type", kind)], [], [(b"content-type", kind), (b"content-type", b"text/plain")]):
        request = ("POST", "/feedback", b"", body, headers)
        assert fast.request(*request) == plain.request(*request)


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/recommend"), ("POST", "/recommend"), ("GET", "/recommend/")])
def test_other_methods_and_paths_get_the_response_of_the_route(fast: App, plain: App, method: str, path: str) -> None:
    assert fast.request(method, path, b"user_id=ann") == plain.request(method, path, b"user_id=ann")


def test_a_plain_request_does_not_reach_the_application(fast: App) -> None:
    fast.request("GET", "/recommend", b"user_id=ann&k=5")
    fast.request("POST", "/feedback", body=json.dumps(BODIES[0]).encode())
    assert fast.passed_on == 0


@given(user_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256), k=st.integers(1, 500))
def test_a_plain_query_means_what_its_client_encoded(user_id: str, k: int) -> None:
    async def route(user_id: UserId, k: K = 20, include_seen: IncludeSeen = False) -> None:
        """A function with the parameters of GET /recommend."""

    reader = QueryReader(parameters_of(route))
    assert reader.arguments(f"user_id={quote_plus(user_id)}&k={k}".encode()) == {
        "user_id": user_id,
        "k": k,
        "include_seen": False,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(max_size=3), values, max_size=2),
    max_leaves=5,
)
fields = ("item_id", "value", "type", "event_id", "timestamp")
some_events = st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(fields, json_values)), max_size=3)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={"user_id": json_values, "events": some_events | json_values, "attributes": json_values}
    )
)
def test_a_plain_body_means_what_the_route_reads(body: dict[str, Any]) -> None:
    async def route(feedback: Feedback) -> None:
        """A function with the parameter of POST /feedback."""

    (parameter,) = parameters_of(route)
    arguments = BodyReader(parameter).arguments(json.dumps(body).encode())
    assert arguments is None or arguments == {"feedback": Feedback.model_validate(body)}


def test_a_hot_route_with_a_dependency_that_the_fast_path_would_skip_is_refused() -> None:
    app = FastAPI()

    @app.get("/recommend", dependencies=[Depends(lambda: None)])
    async def get_recommend(user_id: UserId) -> None:
        """A route with another dependency than STRICT."""

    with pytest.raises(TypeError, match=r"/recommend: dependencies .* expected STRICT alone"):
        FastPath(app, routes=app.routes)
