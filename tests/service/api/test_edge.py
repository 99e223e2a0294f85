"""What stands before the routes, around an application of two routes: scopes, headers, origins, rates."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from service.access.gate import Gate
from service.access.keyring import Keyring, Scope, write_keyring
from service.api import problems
from service.api.edge import Edge
from service.api.middleware.capacity import Capacity
from service.api.middleware.request_context import MAX_BODY_BYTES, Guard
from service.api.middleware.security_headers import MAX_HEADERS
from service.errors import RateExceeded
from service.web.docs import FOLDER

pytestmark = pytest.mark.anyio

STRANGER, OURSELVES = "203.0.113.7", "127.0.0.1"


class Counted:
    """Rate limits that note whom they are asked about, and refuse from then on if told to."""

    def __init__(self, *, by_user: bool, refuses: bool = False) -> None:
        self.by_user, self.refuses = by_user, refuses
        self.counted: list[tuple[str | None, str | None]] = []

    async def count(self, key_id: str | None, user_id: str | None) -> None:
        self.counted.append((key_id, user_id))
        if self.refuses:
            raise RateExceeded("requests of this user: over 2 per 1 minute, expected at most that", "user", 12.3)


def application(edge: Edge) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/{path:path}")
    async def get_anything(path: str) -> Response:
        own = {"X-Own": "1", "Cache-Control": "max-age=60"} if path == "own" else {}
        return Response(path, headers=own)

    @app.post("/feedback")
    async def post_feedback(request: Request) -> int:
        return len(await request.body())

    problems.install(app)
    edge.install_rates(app)
    app.add_middleware(Capacity, limit=9)
    edge.install(app)
    app.add_middleware(Guard, access_log=False)
    return app


def asking(edge: Edge, address: str = STRANGER) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(edge), client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://kshot")


@pytest.fixture
def admin(tmp_path: Path) -> tuple[Gate, dict[str, str]]:
    """A gate with one key, for administrators, and the header that opens it."""
    keyring, text = Keyring().with_new([Scope.ADMIN], "", datetime.now(UTC))
    write_keyring(tmp_path / "keys.json", keyring)
    return Gate(tmp_path / "keys.json"), {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize(
    ("edge", "address", "path", "status"),
    [
        ({}, OURSELVES, "/metrics", 401),
        ({"open_metrics": True}, OURSELVES, "/metrics", 200),
        ({"open_metrics": True}, "::1", "/metrics", 200),
        ({"open_metrics": True}, STRANGER, "/metrics", 401),
        ({"open_metrics": True}, "a name", "/metrics", 401),
        ({"open_metrics": True}, OURSELVES, "/recommend", 401),
        ({}, STRANGER, "/docs", 401),
        ({"open_docs": True}, STRANGER, "/docs", 200),
        ({"open_docs": True}, STRANGER, "/openapi.json", 200),
        ({"open_docs": True}, STRANGER, "/", 200),
        ({"open_docs": True}, STRANGER, "/docs/", 200),
        ({"open_docs": True}, STRANGER, f"/{FOLDER}/swagger-ui.css", 200),
        ({}, STRANGER, f"/{FOLDER}/swagger-ui.css", 401),
        ({"open_docs": True}, STRANGER, "/docs/other", 401),
        ({}, STRANGER, "/health/live", 200),
        ({}, STRANGER, "/health/../users/ann", 401),
        ({}, STRANGER, "//health/live", 401),
        ({}, STRANGER, "/users/ann", 401),
        ({}, STRANGER, "/a/route/of/tomorrow", 401),
    ],
)
async def test_what_is_open_and_from_where(
    admin: tuple[Gate, dict[str, str]], edge: dict[str, Any], address: str, path: str, status: int
) -> None:
    async with asking(Edge(gate=admin[0], **edge), address) as client:
        assert (await client.get(path)).status_code == status
        assert (await client.get("/a/route/of/tomorrow", headers=admin[1])).status_code == 200


async def test_every_answer_has_the_headers_that_browsers_need() -> None:
    async with asking(Edge()) as client:
        for answer in (await client.get("/recommend"), await client.delete("/recommend")):
            for name, value in {
                "x-content-type-options": "nosniff",
                "x-frame-options": "DENY",
                "referrer-policy": "no-referrer",
                "cache-control": "no-store",
                "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
            }.items():
                assert answer.headers.get_list(name) == [value], (answer, name)
        own = await client.get("/own")
        assert own.headers.get_list("cache-control") == ["max-age=60"]
        assert (own.headers["x-own"], own.headers["x-frame-options"]) == ("1", "DENY")


async def test_a_request_with_too_many_headers_is_refused() -> None:
    async with asking(Edge()) as client:
        few = len(client.headers) + 1  # and Host
        many = {f"x-{number}": "1" for number in range(MAX_HEADERS - few)}
        assert (await client.get("/recommend", headers=many)).status_code == 200
        refused = await client.get("/recommend", headers=many | {"x-one-more": "1"})
        assert refused.status_code == 431
        assert refused.json()["detail"] == f"headers: {MAX_HEADERS + 1}, expected at most {MAX_HEADERS}"


async def test_no_page_of_another_origin_may_ask_unless_it_is_named() -> None:
    asks = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    async with asking(Edge()) as client:
        assert "access-control-allow-origin" not in (await client.options("/recommend", headers=asks)).headers
    async with asking(Edge(cors_origins=("https://shop.example",))) as client:
        allowed = (await client.options("/recommend", headers=asks)).headers
        assert allowed["access-control-allow-origin"] == "https://shop.example"
        other = await client.get("/recommend", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


async def test_a_named_origin_reads_refusals_too(admin: tuple[Gate, dict[str, str]]) -> None:
    origin = {"Origin": "https://shop.example"}
    async with asking(Edge(gate=admin[0], cors_origins=("https://shop.example",))) as client:
        refused = await client.get("/recommend", headers=origin)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin["Origin"])
        asks = origin | {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        assert (await client.options("/recommend", headers=asks)).status_code == 200


async def test_beyond_a_rate_a_request_is_told_when_to_come_again() -> None:
    async with asking(Edge(rates=Counted(by_user=True, refuses=True))) as client:
        refused = await client.get("/recommend", params={"user_id": "ann"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "13")
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await client.get("/health/live")).status_code == 200


BODY = {"user_id": "zoë", "events": []}


@pytest.mark.parametrize(
    ("method", "path", "content", "user_id"),
    [
        ("GET", "/recommend?user_id=ann&k=3", b"", "ann"),
        ("GET", "/recommend?user_id=a%26b+c", b"", "a&b c"),
        ("GET", "/recommend?k=3", b"", None),
        ("GET", "/users/a%2Fb/events/1", b"", "a/b"),
        ("POST", "/feedback", json.dumps(BODY).encode(), "zoë"),
        ("POST", "/feedback", b"[]", None),
        ("POST", "/feedback", b'{"user_id": 7}', None),
        ("POST", "/feedback", b"not JSON", None),
        ("POST", "/feedback", b"", None),
    ],
)
async def test_a_request_is_counted_for_the_user_it_names(
    method: str, path: str, content: bytes, user_id: str | None
) -> None:
    rates = Counted(by_user=True)
    async with asking(Edge(rates=rates)) as client:
        answer = await client.request(method, path, content=content)
    assert rates.counted == [(None, user_id)]
    assert answer.status_code == 200
    assert method == "GET" or answer.json() == len(content)


async def test_a_request_is_counted_for_its_key(admin: tuple[Gate, dict[str, str]]) -> None:
    rates = Counted(by_user=False)
    async with asking(Edge(gate=admin[0], rates=rates)) as client:
        await client.get("/users/ann", headers=admin[1])
        await client.get("/users/ann")
    ((key_id, user_id),) = rates.counted
    assert (key_id, user_id) == (admin[1]["Authorization"].split("_")[1], None)


@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize("chunk", [1000, MAX_BODY_BYTES + 1])
async def test_a_long_body_is_refused_as_before_where_users_have_a_rate(by_user: bool, chunk: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // chunk + 1):
            yield b" " * chunk

    async with asking(Edge(rates=Counted(by_user=by_user))) as client, asyncio.timeout(10):
        answer = await client.post("/feedback", content=chunks())
    assert answer.status_code == 413
