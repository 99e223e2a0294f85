"""More requests than the service takes on: the surplus is refused at once, and nothing else changes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from running_service import DEADLINE_S, Running, running, wait_until

LIMIT = 3
WAITING = ("kshot_request_seconds_count", ("GET", "/recommend", "200"))
REFUSED = ("kshot_overload_refusals_total", ())


class SilentStore:
    """A store that takes connections and answers nothing, until it hangs up."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def hang_up(self) -> None:
        self._listener.close()


@pytest.fixture
def silent() -> Iterator[SilentStore]:
    store = SilentStore()
    yield store
    store.hang_up()


@pytest.fixture
def full(trained_store: Path, tmp_path: Path, silent: SilentStore) -> Iterator[Running]:
    """A service of three requests at most whose store keeps all of them waiting."""
    limits = {"KSHOT_MAX_UNDER_WAY": str(LIMIT), "KSHOT_REDIS": silent.url, "KSHOT_STORE_TIMEOUT_MS": "2000"}
    with running(trained_store, tmp_path / "full", env=limits) as started:
        yield started


def ask(service: Running, user: str) -> httpx.Response:
    return httpx.get(service.client.base_url.join("/recommend"), params={"user_id": user}, timeout=DEADLINE_S)


def test_the_surplus_is_refused_at_once_and_the_others_are_answered(full: Running) -> None:
    with ThreadPoolExecutor(2 * LIMIT) as pool:
        asked: list[Future[httpx.Response]] = [pool.submit(ask, full, f"user-{n}") for n in range(2 * LIMIT)]
        # The surplus is there while everything that was let in still waits for the store.
        wait_until(lambda: full.metrics()[REFUSED] == LIMIT)
        assert full.metrics().get(WAITING, 0) == 0
        assert full.client.get("/health/live").is_success
        statuses = sorted(each.result().status_code for each in asked)
    assert statuses == [200] * LIMIT + [503] * LIMIT


def test_a_refusal_says_when_to_come_again_and_why(full: Running) -> None:
    with ThreadPoolExecutor(2 * LIMIT) as pool:
        asked = [pool.submit(ask, full, f"user-{n}") for n in range(2 * LIMIT)]
        refused = next(answer for each in asked if (answer := each.result()).status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["detail"] == f"requests: {LIMIT} under way, expected fewer than {LIMIT}"
    assert problem["request_id"] == refused.headers["x-request-id"]


def test_room_is_given_back(full: Running) -> None:
    with ThreadPoolExecutor(2 * LIMIT) as pool:
        list(pool.map(lambda n: ask(full, f"user-{n}"), range(2 * LIMIT)))
    assert [ask(full, "later").status_code for _ in range(LIMIT + 1)] == [200] * (LIMIT + 1)
