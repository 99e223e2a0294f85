"""The service while the user store fails: GET degrades in time, POST refuses, and recovery needs no restart."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from fault_proxy import FaultProxy, fault_proxy
from redis import Redis
from running_service import DEADLINE_S, Running, running, wait_until
from store_servers import free_port, valkey_on_tcp

from service.core.history import digest_name, event_digest
from service.stores.embedded import EmbeddedStore
from service.stores.redis.key_names import KeyNames

KEYS = KeyNames()
PASSWORD = "s3cret-word"
QUICK = {"KSHOT_STORE_TIMEOUT_MS": "150", "KSHOT_ACCESS_LOG": "true"}
LIKED = {"item_id": "g1-1", "value": 5}


@pytest.fixture(scope="module")
def unreachable(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service whose store does not listen."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused, and the port stays ours
        url = f"redis://:{PASSWORD}@127.0.0.1:{reserved.getsockname()[1]}"
        with running(
            trained_store, tmp_path_factory.mktemp("unreachable"), env=QUICK | {"KSHOT_REDIS": url}
        ) as started:
            yield started


def test_without_a_store_every_user_gets_the_cold_list(unreachable: Running, service: Running, user: str) -> None:
    answer = unreachable.recommend(user)
    assert (answer["source"], answer["state"]) == ("degraded", {"events": 0, "version": 0})
    assert answer["items"] == service.recommend(user)["items"]


def test_without_a_store_feedback_is_refused_for_now(unreachable: Running, user: str) -> None:
    answer = unreachable.post(user, [LIKED])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "user store: refused or unreachable; send it again soon"


def test_the_stores_address_stays_in_the_log(unreachable: Running, user: str) -> None:
    answers = [unreachable.post(user, [LIKED]), unreachable.client.get(f"/users/{user}")]
    answers += [unreachable.post(user, [LIKED]) for _ in range(10)]  # the last of them are refused by the breaker
    assert {answer.status_code for answer in answers} == {503}
    assert not [answer.text for answer in answers if "127.0.0.1" in answer.text or "redis" in answer.text]
    reasons = [line["reason"] for line in unreachable.logged() if line["event"] == "refused"]
    assert all(reason.startswith("user store redis://127.0.0.1:") for reason in reasons)
    assert len(reasons) >= len(answers)


def test_without_a_store_the_service_is_ready_and_reports_it(unreachable: Running) -> None:
    assert unreachable.client.get("/health/ready").json()["store"] == "down"


def test_degraded_answers_and_store_errors_are_counted_apart_from_misses(unreachable: Running, user: str) -> None:
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
def on_users(trained_store: Path, users: EmbeddedStore, tmp_path: Path) -> Iterator[Running]:
    with running(trained_store, tmp_path, "--redis", users.url, env=QUICK) as started:
        yield started


def test_a_store_that_hangs_is_waited_for_up_to_the_limit_and_reached_again(
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


def test_a_killed_store_that_is_restarted_still_has_its_users(
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


def test_a_damaged_record_degrades_the_list_refuses_feedback_and_stays_unchanged(
    on_users: Running, client: Redis, user: str
) -> None:
    client.set(KEYS.record(user), b"garbage")
    assert on_users.recommend(user)["source"] == "degraded"
    answer = on_users.post(user, [LIKED])
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("user record: 7 bytes, expected ")
    assert client.get(KEYS.record(user)) == b"garbage"
    assert not client.exists(KEYS.served(user))


def test_a_damaged_served_list_costs_only_a_hit(on_users: Running, client: Redis, user: str) -> None:
    client.set(KEYS.served(user), b"garbage")
    wait_until(lambda: on_users.post(user, [LIKED]).is_success)
    on_users.recommend(user)
    wait_until(lambda: client.get(KEYS.served(user)) != b"garbage")


def test_feedback_is_refused_until_it_is_on_disk_and_then_counts_once(
    on_users: Running, client: Redis, user: str
) -> None:
    wait_until(lambda: on_users.post(f"{user}-2", [LIKED]).is_success)
    event = LIKED | {"event_id": "once"}
    client.config_set("appendfsync", "no")  # so WAITAOF never confirms anything
    for _ in range(2):  # the second finds the event in memory, which is not enough
        answer = on_users.post(user, [event])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "not on disk in time" in answer.json()["detail"]
    client.config_set("appendfsync", "always")
    assert on_users.give(user, event) == {"accepted": 0, "duplicates": 1, "state": {"events": 1, "version": 1}}


def test_a_deletion_is_not_confirmed_until_it_is_on_disk(on_users: Running, client: Redis, user: str) -> None:
    wait_until(lambda: on_users.post(user, [LIKED, LIKED | {"item_id": "g1-2", "event_id": "gone"}]).is_success)
    client.config_set("appendfsync", "no")  # so WAITAOF never confirms anything
    statuses = [on_users.client.delete(f"/users/{user}/events/gone").status_code for _ in range(2)]
    client.config_set("appendfsync", "always")
    statuses.append(on_users.client.delete(f"/users/{user}/events/gone").status_code)
    assert statuses == [503, 503, 404]


def test_a_full_store_serves_lists_and_erases_and_refuses_feedback(on_users: Running, client: Redis, user: str) -> None:
    wait_until(lambda: on_users.post(user, [LIKED]).is_success)
    client.config_set("maxmemory", "1")
    assert on_users.recommend(user)["source"] == "adapted"
    assert on_users.post(user, [LIKED]).status_code == 503
    assert on_users.client.delete(f"/users/{user}").json()["erased"][0] == "record"
    client.config_set("maxmemory", "0")
    assert on_users.post(user, [LIKED]).is_success


@pytest.fixture
def proxy(users: EmbeddedStore) -> Iterator[FaultProxy]:
    with fault_proxy(unquote(users.url.removeprefix("unix://"))) as started:
        yield started


@pytest.fixture
def behind_proxy(trained_store: Path, proxy: FaultProxy, tmp_path: Path) -> Iterator[Running]:
    """A service whose connection to its store the test may disturb."""
    url = f"redis://127.0.0.1:{proxy.port}"
    with running(trained_store, tmp_path, "--redis", url, env=QUICK | {"KSHOT_ACCESS_LOG": "false"}) as started:
        yield started


def test_a_slow_network_degrades_lists_and_refuses_feedback_until_it_is_fast_again(
    behind_proxy: Running, proxy: FaultProxy, user: str
) -> None:
    wait_until(lambda: behind_proxy.post(user, [LIKED]).is_success)
    proxy.faults.latency_s = 2.0
    started = time.monotonic()
    assert [behind_proxy.recommend(user)["source"] for _ in range(20)] == 20 * ["degraded"]
    assert behind_proxy.post(user, [LIKED]).status_code == 503
    assert time.monotonic() - started < 21 * 2.0  # no request waited for an answer
    proxy.faults.latency_s = 0.0
    wait_until(lambda: behind_proxy.recommend(user)["source"] == "adapted")
    assert behind_proxy.post(user, [LIKED]).is_success


def test_through_a_lossy_network_lists_are_served_and_no_event_is_lost_or_counted_twice(
    behind_proxy: Running, proxy: FaultProxy, user: str
) -> None:
    proxy.faults.loss = 0.07
    statuses: list[int] = []

    def keep(event: dict[str, object]) -> bool:
        statuses.append(behind_proxy.post(user, [event]).status_code)
        return statuses[-1] == 200

    for number in range(30):
        event = {"item_id": f"g{number % 8}-{number % 30}", "value": 5, "event_id": str(number)}
        wait_until(partial(keep, event))
        assert behind_proxy.recommend(user)["source"] in ("adapted", "degraded")
    assert set(statuses) == {200, 503}
    proxy.faults.loss = 0.0
    wait_until(lambda: behind_proxy.recommend(user)["source"] == "adapted")
    stored = behind_proxy.client.get(f"/users/{user}").json()["events"]
    assert [event["event_id"] for event in stored] == [digest_name(event_digest(str(number))) for number in range(30)]


def test_a_store_that_is_gone_is_not_hammered(behind_proxy: Running, proxy: FaultProxy, user: str) -> None:
    proxy.faults.refuses = True
    proxy.cut()
    before = proxy.connections
    sources = [behind_proxy.recommend(user)["source"] for _ in range(300)]
    assert sources == 300 * ["degraded"]
    assert proxy.connections - before < 30
    proxy.faults.refuses = False
    wait_until(lambda: behind_proxy.post(user, [LIKED]).is_success)


def test_after_a_failover_the_new_primary_is_reached_with_its_users(
    trained_store: Path, tmp_path: Path, user: str
) -> None:
    """The address suddenly leads to another server, while connections to the old one are still open."""
    old_port, new_port = free_port(), free_port()
    replica = ("--replicaof", f"127.0.0.1 {old_port}")
    with (
        valkey_on_tcp(tmp_path / "old", old_port) as old,
        valkey_on_tcp(tmp_path / "new", new_port, *replica) as new,
        fault_proxy(old_port) as proxy,
        running(trained_store, tmp_path, "--redis", f"redis://127.0.0.1:{proxy.port}") as service,
    ):
        service.like(user, "g1-1")
        before = service.recommend(user)
        wait_until(lambda: new.exists(KEYS.record(user)))
        new.replicaof("NO", "ONE")
        old.replicaof("127.0.0.1", str(new_port))
        proxy.target = new_port
        wait_until(lambda: service.post(user, [LIKED | {"item_id": "g1-2"}]).is_success)
        after = service.recommend(user)
        assert (before["state"]["version"], after["state"]["version"]) == (1, 2)
        assert new.exists(KEYS.record(user))
