"""When the user store is in trouble: GET degrades in time, POST refuses honestly, recovery needs no restart."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis
from running_service import DEADLINE_S, Running, running, wait_until

from service.stores.embedded import EmbeddedStore
from service.stores.redis import record_key, served_key

PASSWORD = "s3cret-word"
QUICK = {"KSHOT_STORE_TIMEOUT_MS": "150", "KSHOT_ACCESS_LOG": "true"}
LIKED = {"item_id": "g1-1", "value": 5}


@pytest.fixture(scope="module")
def unreachable(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose store's port nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else's
        url = f"redis://:{PASSWORD}@127.0.0.1:{taken.getsockname()[1]}"
        with running(
            trained_store, tmp_path_factory.mktemp("unreachable"), env=QUICK | {"KSHOT_REDIS": url}
        ) as started:
            yield started


def test_without_a_store_everybody_gets_the_cold_list(unreachable: Running, service: Running, user: str) -> None:
    answer = unreachable.recommend(user)
    assert (answer["source"], answer["state"]) == ("degraded", {"events": 0, "version": 0})
    assert answer["items"] == service.recommend(user)["items"]


def test_without_a_store_feedback_is_refused_for_now(unreachable: Running, user: str) -> None:
    answer = unreachable.post(user, [LIKED])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("user store redis://127.0.0.1:")


def test_without_a_store_the_service_is_ready_and_says_what_is_down(unreachable: Running) -> None:
    assert unreachable.client.get("/health/ready").json()["store"] == "down"


def test_degraded_answers_and_store_errors_are_counted_and_are_no_misses(unreachable: Running, user: str) -> None:
    before = unreachable.metrics()
    unreachable.recommend(user)
    unreachable.post(user, [LIKED])
    after = unreachable.metrics()
    degraded = ("kshot_recommendations_total", ("degraded",))
    assert after[degraded] - before.get(degraded, 0) == 1
    assert after["kshot_store_errors_total", ()] - before["kshot_store_errors_total", ()] == 2
    assert after["kshot_store_misses_total", ()] == before["kshot_store_misses_total", ()] == 0


def test_a_warning_carries_the_id_of_its_request(unreachable: Running, user: str) -> None:
    unreachable.client.get("/recommend", params={"user_id": user}, headers={"X-Request-ID": user})
    (warning,) = [
        line for line in unreachable.logged() if line.get("request_id") == user and line["event"] != "request"
    ]
    assert (warning["event"], warning["level"]) == ("degraded answer", "warning")


def test_a_password_is_in_no_log_and_in_no_answer(unreachable: Running, user: str) -> None:
    refused = unreachable.post(user, [LIKED])
    unreachable.recommend(user)
    assert unreachable.has_logged("refused")
    assert PASSWORD not in unreachable.log.read_text() + refused.text


def test_user_ids_stay_out_of_the_log_and_cannot_forge_a_line(unreachable: Running) -> None:
    forged = '\n{"event": "forged", "level": "error", "timestamp": "now"}\n'
    unreachable.recommend(forged)
    unreachable.post(forged, [LIKED])
    unreachable.post(forged, [{"item_id": forged, "type": forged}])
    unreachable.client.get("/" + quote(forged))
    assert unreachable.has_logged("request")
    assert "forged" not in unreachable.log.read_text()


@pytest.fixture
def users(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A store of the test's own, for it to break."""
    started = EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S)
    yield started
    started.stop()


@pytest.fixture
def client(users: EmbeddedStore) -> Iterator[Redis]:
    with Redis.from_url(users.url) as connected:
        yield connected


@pytest.fixture
def on_users(trained_store: Path, users: EmbeddedStore, tmp_path: Path) -> Iterator[Running]:
    with running(trained_store, tmp_path, "--redis", users.url, env=QUICK) as started:
        yield started


def test_a_store_that_hangs_is_waited_for_no_longer_than_the_limit_and_found_again(
    on_users: Running, client: Redis, user: str
) -> None:
    wait_until(lambda: on_users.post(user, [LIKED]).is_success)
    before = on_users.recommend(user)
    pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert on_users.recommend(user)["source"] == "degraded"
        assert on_users.post(user, [LIKED]).status_code == 503
        assert time.monotonic() - started < 5  # two limits of 0.15 s, and a crowded machine
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: on_users.recommend(user)["source"] == "adapted")
    assert on_users.recommend(user)["items"] == before["items"]


def test_a_store_that_was_killed_and_started_again_is_found_with_its_users(
    on_users: Running, users: EmbeddedStore, client: Redis, user: str
) -> None:
    wait_until(lambda: on_users.post(user, [LIKED]).is_success)
    client.waitaof(1, 0, 5000)
    os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    wait_until(lambda: on_users.recommend(user)["source"] == "degraded")
    assert on_users.post(user, [LIKED]).status_code == 503
    again = EmbeddedStore.start(users.folder, timeout_s=DEADLINE_S)
    try:
        wait_until(lambda: on_users.recommend(user)["source"] == "adapted")
    finally:
        again.stop()


def test_a_damaged_record_degrades_the_list_and_refuses_feedback_and_is_left_as_it_is(
    on_users: Running, client: Redis, user: str
) -> None:
    client.set(record_key(user), b"garbage")
    assert on_users.recommend(user)["source"] == "degraded"
    answer = on_users.post(user, [LIKED])
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("user record: 7 bytes, expected ")
    assert client.get(record_key(user)) == b"garbage"
    assert not client.exists(served_key(user))
