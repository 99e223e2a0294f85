"""Requests beyond the limit are refused at once, and the others are answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from raw_http import answered, connected, feedback
from running_service import DEADLINE_S, Running, running, wait_until
from store_servers import server_pid

from service.stores.embedded import EmbeddedStore

LIMIT = 3
SURPLUS = 2
REFUSED = ("kshot_overload_refusals_total", ())


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore.start(tmp_path_factory.mktemp("users"))
    yield store
    store.stop()


@pytest.fixture(scope="module")
def small(trained_store: Path, tmp_path_factory: pytest.TempPathFactory, users: EmbeddedStore) -> Iterator[Running]:
    """A service with a limit of three requests."""
    limits = {"KSHOT_MAX_UNDER_WAY": str(LIMIT), "KSHOT_STORE_TIMEOUT_MS": "60000"}
    with running(trained_store, tmp_path_factory.mktemp("small"), "--redis", users.url, env=limits) as started:
        yield started


@contextmanager
def full(service: Running, users: EmbeddedStore) -> Iterator[list[Future[httpx.Response]]]:
    """As many requests as the limit wait for a stopped store, and the surplus was refused."""
    refused, pid = service.metrics()[REFUSED], server_pid(users.url)
    with ThreadPoolExecutor(LIMIT + SURPLUS) as pool:
        os.kill(pid, signal.SIGSTOP)
        try:
            requests = [pool.submit(recommend, service, f"user-{number}") for number in range(LIMIT + SURPLUS)]
            wait_until(lambda: service.metrics()[REFUSED] == refused + SURPLUS)
            yield requests
        finally:
            os.kill(pid, signal.SIGCONT)


def recommend(service: Running, user: str) -> httpx.Response:
    return httpx.get(service.client.base_url.join("/recommend"), params={"user_id": user}, timeout=DEADLINE_S)


def test_the_surplus_is_refused_at_once_and_the_waiting_requests_are_answered(
    small: Running, users: EmbeddedStore
) -> None:
    with full(small, users) as requests:
        wait_until(lambda: sum(request.done() for request in requests) == SURPLUS)
        assert {request.result().status_code for request in requests if request.done()} == {503}
    assert sorted(request.result().status_code for request in requests) == [200] * LIMIT + [503] * SURPLUS


def test_a_refusal_has_the_reason_and_the_time_to_wait(small: Running, users: EmbeddedStore) -> None:
    with full(small, users) as requests:
        wait_until(lambda: any(request.done() for request in requests))
        refused = next(request.result() for request in requests if request.done())
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["cache-control"] == "no-store"
    problem = refused.json()
    assert problem["detail"] == f"requests: {LIMIT} in progress, expected fewer than {LIMIT}"
    assert problem["request_id"] == refused.headers["x-request-id"]


def test_probes_and_metrics_work_under_overload(small: Running, users: EmbeddedStore) -> None:
    with full(small, users):
        assert small.client.get("/health/live").is_success
        assert small.client.get("/metrics").is_success


def test_capacity_is_freed(small: Running, users: EmbeddedStore) -> None:
    with full(small, users):
        pass
    assert [recommend(small, "later").status_code for _ in range(LIMIT + 1)] == [200] * (LIMIT + 1)


def test_bodies_still_arriving_take_up_no_capacity(small: Running, user: str) -> None:
    whole = feedback(user, "g1-1")
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(small)) for _ in range(2 * LIMIT)]
        for connection in slow:
            connection.sendall(whole[:-5])
        assert small.client.get("/health/live").is_success  # after the service has read them
        assert recommend(small, user).status_code == 200
        for connection in slow:
            connection.sendall(whole[-5:])
            assert answered(connection) == 200
