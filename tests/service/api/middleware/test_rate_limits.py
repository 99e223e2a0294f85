"""Rate limits: around an application of two routes, and on a running service over two workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from admitting_app import RecordedRates, client_of
from running_service import Running, running

from service.access.gate import Gate
from service.api.access_policy import AccessPolicy
from service.api.middleware.body import MAX_BODY_BYTES
from service.stores.embedded import EmbeddedStore

BODY = {"user_id": "zoë", "events": []}


@pytest.mark.anyio
async def test_a_request_beyond_a_limit_is_refused_with_the_time_to_wait() -> None:
    async with client_of(AccessPolicy(rates=RecordedRates(by_user=True, refuses=True))) as client:
        refused = await client.get("/recommend", params={"user_id": "ann"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "13")
        assert refused.headers["content-type"] == "application/problem+json"
        assert (await client.get("/health/live")).status_code == 200


@pytest.mark.anyio
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
async def test_a_request_counts_for_its_user(method: str, path: str, content: bytes, user_id: str | None) -> None:
    rates = RecordedRates(by_user=True)
    async with client_of(AccessPolicy(rates=rates)) as client:
        response = await client.request(method, path, content=content)
    assert rates.calls == [(None, user_id)]
    assert response.status_code == 200
    assert method == "GET" or response.json() == len(content)


@pytest.mark.anyio
async def test_a_request_counts_for_its_key(admin: tuple[Gate, dict[str, str]]) -> None:
    rates = RecordedRates(by_user=False)
    async with client_of(AccessPolicy(gate=admin[0], rates=rates)) as client:
        await client.get("/users/ann", headers=admin[1])
        await client.get("/users/ann")
    ((key_id, user_id),) = rates.calls
    assert (key_id, user_id) == (admin[1]["Authorization"].split("_")[1], None)


@pytest.mark.anyio
@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize("chunk", [1000, MAX_BODY_BYTES + 1])
async def test_a_long_body_is_refused_with_and_without_limits_on_users(by_user: bool, chunk: int) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // chunk + 1):
            yield b" " * chunk

    async with client_of(AccessPolicy(rates=RecordedRates(by_user=by_user))) as client, asyncio.timeout(10):
        response = await client.post("/feedback", content=chunks())
    assert response.status_code == 413


@pytest.fixture(scope="module")
def limited(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("limited")
    with running(trained_store, folder, "--workers", 2, env={"KSHOT_USER_RATE": "5/hour"}) as started:
        yield started


def test_a_user_beyond_the_limit_is_refused_and_other_users_are_not(limited: Running, user: str) -> None:
    statuses = [limited.client.get("/recommend", params={"user_id": user}).status_code for _ in range(4)]
    statuses.append(limited.post(user, [{"item_id": "g1-1", "value": 5}]).status_code)
    assert statuses == [200] * 5
    refused = limited.client.get("/recommend", params={"user_id": user})
    assert refused.status_code == 429
    assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert refused.json()["detail"] == "requests of this user: over 5 per 1 hour, expected at most that"
    assert limited.post(user, [{"item_id": "g1-1", "value": 5}]).status_code == 429
    assert limited.client.get("/recommend", params={"user_id": f"another {user}"}).status_code == 200
    assert limited.metrics()["kshot_rate_refusals_total", ("user",)] >= 2


@pytest.mark.parametrize("path", ["/users%2Fann", "/%75sers%2Fann", "/%75sers/ann", "/users/"])
def test_a_path_with_an_encoded_prefix_matches_no_route(limited: Running, path: str) -> None:
    assert limited.client.get(path).status_code == 404


def test_the_documentation_marks_the_limited_routes(limited: Running) -> None:
    paths = limited.client.get("/openapi.json").json()["paths"]
    documented = {
        path
        for path, operations in paths.items()
        if all("429" in operation["responses"] for operation in operations.values())
    }
    assert {"/recommend", "/feedback"} <= documented
    assert not [path for path in documented if path.startswith(("/health", "/metrics"))]


def test_without_its_store_a_service_limits_nothing(trained_store: Path, tmp_path: Path) -> None:
    store = EmbeddedStore.start(tmp_path / "store")
    with running(trained_store, tmp_path, "--redis", store.url, env={"KSHOT_USER_RATE": "1/hour"}) as service:
        service.recommend("ann")
        assert service.client.get("/recommend?user_id=ann").status_code == 429
        store.stop()
        assert [service.recommend("ann")["source"] for _ in range(3)] == ["degraded"] * 3
        assert service.metrics()["kshot_rate_misses_total", ()] == 3
        assert service.has_logged("rate limits not counted")
