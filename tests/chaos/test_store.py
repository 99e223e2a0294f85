"""Guarantees of the user store hold while processes die and writers race.

SIGKILL ends a process, but data that it passed to the kernel survives. That acknowledged feedback is on the disk
itself is checked by ``tests/service/stores/redis/test_durability.py``.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import pytest
from deliveries import Progress, batched, by_key, deliver, kept_events, made_events
from redis.exceptions import RedisError
from running_service import Running, running, wait_until
from store_servers import free_port, is_gone, listens, server_pid

from model_store.bundle import Registry, scale_of
from service.catalogue.snapshot import Snapshot
from service.core.history import append, event_digest
from service.core.values import EMPTY, Event, Events
from service.flows.adapt import adapt_record
from service.scoring.model import BundleModel

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="workers are listed in /proc")

Sized = Callable[[int, int], int]
RecordCounts = Callable[..., None]
Show = Callable[[int, int], None]


@dataclass
class RestartedService:
    """A service with two workers and an embedded user store, restarted on the same port and folder after kills."""

    store: Path
    folder: Path
    port: int = field(default_factory=free_port)
    _lives: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._lives.close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _start(self) -> None:
        flags = ("--workers", 2, "--port", self.port)
        self.service: Running = self._lives.enter_context(running(self.store, self.folder, *flags))

    def reaches_user_store(self) -> bool:
        return bool(self.service.client.get("/health/ready").json()["store"] == "up")

    def kill_service(self, _rng: random.Random) -> None:
        """Kill all its processes at once and start it again."""
        self.service.kill()
        self._lives.close()
        self._start()

    def kill_supervisor(self, _rng: random.Random) -> None:
        """Kill the parent alone; its workers end, and the next start finds the port free."""
        workers = self.service.workers()
        self.service.process.kill()
        wait_until(lambda: all(is_gone(worker) for worker in workers))
        # A replacement of a worker that has just started is not listed yet, but holds the port too.
        wait_until(lambda: not listens(self.port))
        self._lives.close()
        self._start()

    def kill_worker(self, rng: random.Random) -> None:
        wait_until(self.service.workers)  # empty while the last killed worker is being replaced
        with suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(self.service.workers())), signal.SIGKILL)

    def kill_store(self, _rng: random.Random) -> None:
        with suppress(RedisError, ProcessLookupError):  # it can still be dead from the last kill
            os.kill(server_pid(f"unix://{self.folder}/users/store.sock"), signal.SIGKILL)


def write_and_kill(
    restarted: RestartedService, progress: Progress, *, events: int, writers: int, users: int, kills: int, seed: int
) -> Counter[str]:
    """Deliver ``events`` in total, and kill a process after every share of acknowledged events."""
    killed = Counter[str]()

    def write(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        batch_events = made_events(rng, events // writers, f"writer{number}")
        with httpx.Client(base_url=restarted.address, timeout=10) as client:
            for batch in batched(batch_events, rng, 20):
                deliver(client, f"user-{rng.randrange(users)}", batch, progress)

    rng, ways = (
        random.Random(seed),
        (restarted.kill_store, restarted.kill_worker, restarted.kill_service, restarted.kill_supervisor),
    )
    with ThreadPoolExecutor(writers) as pool:
        running_writers = [pool.submit(write, number) for number in range(writers)]
        for number in range(kills):
            progress.wait_for(events * (number + 1) // (kills + 2), events)
            way = ways[number % len(ways)] if kills <= len(ways) else rng.choice(ways)
            way(rng)
            killed[way.__name__.removeprefix("kill_")] += 1
        progress.wait_for(events, events)
        for writer in running_writers:
            writer.result()
    return killed


def test_acknowledged_events_are_kept_once_through_kills(
    trained_store: Path, tmp_path: Path, sized: Sized, record_counts: RecordCounts, progress: Show
) -> None:
    events, kills = sized(1_600, 200_000), sized(4, 30)
    with RestartedService(trained_store, tmp_path) as restarted:
        delivered, users = Progress(progress), sized(20, 1000)
        killed = write_and_kill(restarted, delivered, events=events, writers=16, users=users, kills=kills, seed=1)
        restarted.kill_store(random.Random(0))
        wait_until(restarted.reaches_user_store)
        kept = kept_events(restarted.service.client, {user for user, _ in delivered.acknowledged})
    acknowledged = by_key(delivered.acknowledged)
    missing, twice = acknowledged - set(kept), [event for event, count in kept.items() if count > 1]
    record_counts(
        acknowledged=len(acknowledged), **killed, refused=delivered.refused, missing=len(missing), twice=len(twice)
    )
    assert len(acknowledged) == events
    assert (missing, twice, set(kept) - acknowledged) == (set(), [], set())


def state_by_replay(snapshot: Snapshot, data: dict[str, Any]) -> bytes:
    """State after the user's events one by one; float32, as bytes."""
    record = EMPTY
    for event in data["events"]:
        scale = scale_of(**event["scale"])
        kept = Event(event["item_id"], event["value"], event["timestamp"], event_digest(event["event_id"]), scale)
        record = append(record, Events.of([kept]), snapshot.max_support).record
    state = asyncio.run(adapt_record(record, snapshot)).state
    assert state is not None
    return state.vector.tobytes()


def state_in(data: dict[str, Any]) -> bytes:
    return np.array(data["state"]["vector"], dtype=np.float32).tobytes()


def test_many_writers_to_one_user_lose_nothing_and_their_state_is_a_replay(
    trained_store: Path, tmp_path: Path, sized: Sized, record_counts: RecordCounts
) -> None:
    writers, events, progress = 64, sized(3, 100), Progress()

    def write(number: int) -> list[int]:
        rng = random.Random(number)
        with httpx.Client(base_url=service.client.base_url, timeout=20) as client:
            return [
                deliver(client, "everybody", [event], progress)["state"]["version"]
                for event in made_events(rng, events, f"writer{number}")
            ]

    with running(trained_store, tmp_path, "--workers", 2) as service, ThreadPoolExecutor(writers) as pool:
        versions = [version for numbers in pool.map(write, range(writers)) for version in numbers]
        data = service.client.get("/users/everybody").json()
    kept = Counter(("everybody", event["event_id"]) for event in data["events"])
    acknowledged = by_key(progress.acknowledged)
    record_counts(acknowledged=len(acknowledged), kept=kept.total(), refused=progress.refused, version=data["version"])
    assert kept == Counter(acknowledged)
    assert len(acknowledged) == writers * events == data["version"] == max(versions)
    assert state_in(data) == state_by_replay(Snapshot(BundleModel.load(Registry(trained_store).live_folder(), 1)), data)


class Acknowledged:
    """Latest acknowledged version of a user and all acknowledged items."""

    def __init__(self) -> None:
        self.version, self.items = 0, frozenset[str]()
        self._lock = threading.Lock()

    def add(self, version: int, item_id: str) -> None:
        with self._lock:
            self.version, self.items = max(self.version, version), self.items | {item_id}


def test_no_list_is_older_than_the_last_acknowledged_feedback(
    trained_store: Path, tmp_path: Path, sized: Sized, record_counts: RecordCounts
) -> None:
    """Clients with separate connections send feedback and requests for the same few users to both workers."""
    operations, clients = sized(1_000, 100_000), 8
    users = {f"user-{number}": Acknowledged() for number in range(sized(5, 100))}

    def use(number: int) -> tuple[int, list[str]]:
        rng, lists, stale = random.Random(number), 0, []
        with httpx.Client(base_url=service.client.base_url, timeout=20) as client:
            for event in made_events(rng, operations // clients, f"client{number}"):
                user, acknowledged = rng.choice(list(users.items()))
                if rng.random() < 0.4:
                    response = deliver(client, user, [event], Progress())
                    acknowledged.add(response["state"]["version"], event["item_id"])
                    continue
                version, items = acknowledged.version, acknowledged.items
                body = client.get("/recommend", params={"user_id": user, "k": 50}).json()
                lists += 1
                if body["state"]["version"] < version or items & {item["item_id"] for item in body["items"]}:
                    stale.append(f"{user}: {body['state']} after version {version}")
        return lists, stale

    with running(trained_store, tmp_path, "--workers", 2) as service, ThreadPoolExecutor(clients) as pool:
        outcomes = list(pool.map(use, range(clients)))
    stale = [text for _, texts in outcomes for text in texts]
    record_counts(operations=operations, lists=sum(lists for lists, _ in outcomes), stale=len(stale))
    assert stale == []


def test_replaying_the_events_always_gives_the_same_bytes(
    two_bundles: tuple[Registry, str], tmp_path: Path, sized: Sized, record_counts: RecordCounts
) -> None:
    """On every worker, after kills of service and user store, after an upgrade and after a rollback."""
    registry, other = two_bundles
    first, users = registry.live(), [f"user-{number}" for number in range(sized(5, 200))]
    snapshots = {version: Snapshot(BundleModel.load(registry.folder(version), 1)) for version in (first, other)}
    compared = Counter[str]()

    def compare(when: str, version: str) -> None:
        wait_until(lambda: restarted.service.metrics().get(("kshot_bundle_info", (version,)), 0) == 2)
        for user in users:
            lists = {list_on_a_new_connection(restarted.address, user) for _ in range(4)}
            data = restarted.service.client.get(f"/users/{user}").json()
            assert len(lists) == 1
            assert data["state"]["bundle"] == version
            assert state_in(data) == state_by_replay(snapshots[version], data)
            compared[when] += 1

    with RestartedService(registry.store, tmp_path / "restarted") as restarted:
        rng = random.Random(3)
        with httpx.Client(base_url=restarted.address, timeout=20) as client:
            for user in users:
                for batch in batched(made_events(rng, rng.randint(1, 40), user), rng, 5):
                    deliver(client, user, batch, Progress())
        compare("delivered", first)
        restarted.kill_service(rng)
        restarted.kill_store(rng)
        wait_until(restarted.reaches_user_store)
        compare("restarted", first)
        registry.promote(other)
        compare("upgraded", other)
        registry.rollback()
        compare("rolled_back", first)
    record_counts(**compared, different=0)


def list_on_a_new_connection(address: str, user: str) -> bytes:
    """A user's list from the worker that accepts a new connection."""
    return httpx.get(f"{address}/recommend", params={"user_id": user}, timeout=20).content
