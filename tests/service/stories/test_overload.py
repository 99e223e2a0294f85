"""More requests than the service takes on: the surplus is refused at once, and nothing else changes."""

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
    """A service of three requests at most."""
    limits = {"KSHOT_MAX_UNDER_WAY": str(LIMIT), "KSHOT_STORE_TIMEOUT_MS": "60000"}
    with running(trained_store, tmp_path_factory.mktemp("small"), "--redis", users.url, env=limits) as started:
        yield started


@contextmanager
def full(service: Running, users: EmbeddedStore) -> Iterator[list[Future[httpx.Response]]]:
    """As many requests as the service takes on wait for a store that stands still, and the surplus was refused."""
    refused, pid = service.metrics()[REFUSED], server_pid(users.url)
    with ThreadPoolExecutor(LIMIT + SURPLUS) as pool:
        os.kill(pid, signal.SIGSTOP)
        try:
            asked = [pool.submit(ask, service, f"user-{number}") for number in range(LIMIT + SURPLUS)]
            wait_until(lambda: service.metrics()[REFUSED] == refused + SURPLUS)
            yield asked
        finally:
            os.kill(pid, signal.SIGCONT)


def ask(service: Running, user: str) -> httpx.Response:
    return httpx.get(service.client.base_url.join("/recommend"), params={"user_id": user}, timeout=DEADLINE_S)


def test_the_surplus_is_refused_while_the_others_wait_and_they_are_answered(
    small: Running, users: EmbeddedStore
) -> None:
    with full(small, users) as asked:
        wait_until(lambda: sum(each.done() for each in asked) == SURPLUS)
        assert {each.result().status_code for each in asked if each.done()} == {503}
    assert sorted(each.result().status_code for each in asked) == [200] * LIMIT + [503] * SURPLUS


def test_a_refusal_says_when_to_come_again_and_why(small: Running, users: EmbeddedStore) -> None:
    with full(small, users) as asked:
        wait_until(lambda: any(each.done() for each in asked))
        refused = next(each.result() for each in asked if each.done())
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["cache-control"] == "no-store"
    problem = refused.json()
    assert problem["detail"] == f"requests: {LIMIT} under way, expected fewer than {LIMIT}"
    assert problem["request_id"] == refused.headers["x-request-id"]


def test_whoever_looks_after_the_service_sees_it_when_it_is_full(small: Running, users: EmbeddedStore) -> None:
    with full(small, users):
        assert small.client.get("/health/live").is_success
        assert small.client.get("/metrics").is_success


def test_room_is_given_back(small: Running, users: EmbeddedStore) -> None:
    with full(small, users):
        pass
    assert [ask(small, "later").status_code for _ in range(LIMIT + 1)] == [200] * (LIMIT + 1)


def test_bodies_that_are_still_arriving_keep_nobody_out(small: Running, user: str) -> None:
    whole = feedback(user, "g1-1")
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(small)) for _ in range(2 * LIMIT)]
        for connection in slow:
            connection.sendall(whole[:-5])
        assert small.client.get("/health/live").is_success  # so the service has read them by now
        assert ask(small, user).status_code == 200
        for connection in slow:
            connection.sendall(whole[-5:])
            assert answered(connection) == 200
