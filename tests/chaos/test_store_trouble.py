"""Random failures of the user store: lists are still served, and feedback is kept or refused."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from fault_proxy import FaultProxy, Faults, fault_proxy
from redis import Redis
from running_service import DEADLINE_S, Running, running, wait_until

from service.core.history import digest_name, event_digest
from service.stores.embedded import EmbeddedStore

STORE_TIMEOUT_MS = 150
LIMITS = {"KSHOT_STORE_TIMEOUT_MS": str(STORE_TIMEOUT_MS), "KSHOT_DISK_TIMEOUT_MS": "150"}
SLACK_S = 5.0  # for a busy machine; the measured time is recorded
NETWORKS = {
    "fine": Faults(),
    "slow": Faults(latency_s=0.5),
    "lossy": Faults(loss=0.1),
    "silent": Faults(swallows=True),
    "refusing": Faults(refuses=True),
}
SERVERS = {
    "usual": {"maxmemory": "0", "appendfsync": "always"},
    "full": {"maxmemory": "1", "appendfsync": "always"},
    "unsynced": {"maxmemory": "0", "appendfsync": "no"},
}


@pytest.fixture
def users(tmp_path: Path) -> Iterator[EmbeddedStore]:
    started = EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S)
    yield started
    started.stop()


def test_during_failures_lists_are_served_and_feedback_is_kept_or_refused(
    trained_store: Path,
    users: EmbeddedStore,
    tmp_path: Path,
    sized: Callable[[int, int], int],
    record_counts: Callable[..., None],
) -> None:
    traffic = Traffic()
    with (
        fault_proxy(unquote(users.url.removeprefix("unix://"))) as proxy,
        Redis.from_url(users.url) as admin,
        running(trained_store, tmp_path, "--redis", f"redis://127.0.0.1:{proxy.port}", env=LIMITS) as service,
    ):
        rng = random.Random(4)
        for _ in range(sized(12, 300)):
            make_trouble(rng, proxy, admin)
            for _ in range(5):
                traffic.send(service, rng)
        proxy.faults = Faults()
        for name, value in SERVERS["usual"].items():
            admin.config_set(name, value)
        wait_until(lambda: service.post("afterwards", [{"item_id": "g1-1", "value": 5}]).is_success)
        kept = kept_by(service, traffic)
    record_counts(
        lists=traffic.sources.total(),
        **traffic.sources,
        slowest_list_ms=round(1e3 * traffic.slowest_s),
        **{f"feedback_{status}": count for status, count in sorted(traffic.statuses.items())},
        missing=len(traffic.acknowledged - set(kept)),
        twice=sum(count > 1 for count in kept.values()),
    )
    assert traffic.slowest_s < STORE_TIMEOUT_MS / 1e3 + SLACK_S
    assert set(traffic.statuses) == {200, 503}
    assert traffic.acknowledged <= set(kept) <= traffic.sent
    assert set(kept.values()) == {1}


def make_trouble(rng: random.Random, proxy: FaultProxy, admin: Redis) -> None:
    """Change network and server, each fine half of the time; sometimes break all connections."""
    proxy.faults = NETWORKS["fine"] if rng.random() < 0.5 else rng.choice(list(NETWORKS.values()))
    server = SERVERS["usual"] if rng.random() < 0.5 else rng.choice(list(SERVERS.values()))
    for name, value in server.items():
        admin.config_set(name, value)
    if rng.random() < 0.3:
        proxy.cut()


class Traffic:
    """Requests and their responses; an event is a user and the name of its key."""

    def __init__(self) -> None:
        self.sources, self.statuses = Counter[str](), Counter[int]()
        self.sent: set[tuple[str, str]] = set()
        self.acknowledged: set[tuple[str, str]] = set()
        self.slowest_s = 0.0

    def send(self, service: Running, rng: random.Random) -> None:
        """Request a list and send an event, twice if the first is refused."""
        user, event_id = f"user-{rng.randrange(5)}", str(len(self.sent))
        started = time.monotonic()
        self.sources[service.recommend(user)["source"]] += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - started)
        event = {"item_id": f"g{rng.randrange(8)}-{rng.randrange(30)}", "value": 5, "event_id": event_id}
        self.sent.add((user, digest_name(event_digest(event_id))))
        for _ in range(2):
            status = service.post(user, [event]).status_code
            self.statuses[status] += 1
            if status == 200:
                self.acknowledged.add((user, digest_name(event_digest(event_id))))
                return


def kept_by(service: Running, traffic: Traffic) -> Counter[tuple[str, str]]:
    kept: Counter[tuple[str, str]] = Counter()
    for user in {user for user, _ in traffic.acknowledged}:
        data = service.client.get(f"/users/{user}").json()
        kept.update((user, event["event_id"]) for event in data["events"])
    return kept
