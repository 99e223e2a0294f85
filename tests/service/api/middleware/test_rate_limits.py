"""Rate limits on a running service, over two workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running, running

from service.stores.embedded import EmbeddedStore


@pytest.fixture(scope="module")
def limited(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("limited")
    with running(trained_store, folder, "--workers", 2, env={"KSHOT_USER_RATE": "5/hour"}) as started:
        yield started


def test_a_user_beyond_the_limit_is_told_to_wait_and_others_are_not(limited: Running, user: str) -> None:
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
def test_a_path_whose_slash_is_encoded_is_no_user(limited: Running, path: str) -> None:
    assert limited.client.get(path).status_code == 404


def test_the_documentation_says_which_routes_are_limited(limited: Running) -> None:
    paths = limited.client.get("/openapi.json").json()["paths"]
    documented = {path for path, each in paths.items() if all("429" in one["responses"] for one in each.values())}
    assert {"/recommend", "/feedback"} <= documented
    assert not [path for path in documented if path.startswith(("/health", "/metrics"))]


def test_a_service_without_its_store_limits_nobody(trained_store: Path, tmp_path: Path) -> None:
    store = EmbeddedStore.start(tmp_path / "store")
    with running(trained_store, tmp_path, "--redis", store.url, env={"KSHOT_USER_RATE": "1/hour"}) as service:
        service.recommend("ann")
        assert service.client.get("/recommend?user_id=ann").status_code == 429
        store.stop()
        assert [service.recommend("ann")["source"] for _ in range(3)] == ["degraded"] * 3
        assert service.metrics()["kshot_rate_misses_total", ()] == 3
        assert service.has_logged("rate limits not counted")
