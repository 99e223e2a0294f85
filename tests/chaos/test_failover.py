"""The user store's primary dies and a sentinel promotes a replica: no acknowledged event is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from deliveries import Progress, batched, by_key, deliver, kept_events, made_events
from fault_proxy import FaultProxy, fault_proxy
from redis import Redis
from redis.sentinel import MasterNotFoundError, Sentinel
from running_service import running, wait_until
from store_servers import free_port, sentinel, valkey_on_tcp

WRITERS, REPLICAS = 4, 2
USERS = [f"user-{number}" for number in range(10)]
# On a busy machine, replies take longer than the sentinel's decision.
LONG_TIMEOUT = {"KSHOT_STORE_TIMEOUT_MS": "1000"}


def is_synchronised(replica: Redis) -> bool:
    return bool(replica.info("replication")["master_link_status"] == "up")


def promoted(watch: Sentinel, dead_port: int) -> int | None:
    """Port of the new primary; None before the promotion."""
    with suppress(MasterNotFoundError):
        port = int(watch.discover_master("kshot")[1])
        return None if port == dead_port else port
    return None


@contextmanager
def following(proxy: FaultProxy, watch: Sentinel) -> Iterator[None]:
    """Direct the proxy to the sentinel's primary, which on a busy machine can change again."""
    done, dead_port = threading.Event(), int(proxy.target)

    def follow() -> None:
        while not done.wait(0.02):
            proxy.target = promoted(watch, dead_port) or proxy.target

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def knows_replicas(watch: Sentinel) -> bool:
    return len(watch.discover_slaves("kshot")) == REPLICAS


def write(number: int, address: Any, events: int, progress: Progress) -> None:
    """Deliver ``events`` in batches to users shared with the other writers."""
    rng = random.Random(number)
    with httpx.Client(base_url=address, timeout=20) as client:
        for batch in batched(made_events(rng, events, f"writer{number}"), rng, 5):
            deliver(client, rng.choice(USERS), batch, progress)


def test_acknowledged_events_survive_the_death_of_the_primary(
    trained_store: Path, tmp_path: Path, sized: Any, record_counts: Any, progress: Any
) -> None:
    """The address follows the sentinel, like that of a load balancer in front of the user store."""
    events, ports = sized(200, 20_000), [free_port() for _ in range(1 + REPLICAS)]
    delivered = Progress(progress)
    with ExitStack() as stack:
        primary, *replicas = [
            stack.enter_context(
                valkey_on_tcp(tmp_path / str(port), port, *(("--replicaof", f"127.0.0.1 {ports[0]}") if index else ()))
            )
            for index, port in enumerate(ports)
        ]
        wait_until(lambda: all(is_synchronised(replica) for replica in replicas))
        watch = stack.enter_context(sentinel(tmp_path / "sentinel", ports[0]))
        wait_until(lambda: knows_replicas(watch))
        proxy = stack.enter_context(fault_proxy(ports[0]))
        flags = ("--redis", f"redis://127.0.0.1:{proxy.port}", "--durability", "replicated")
        service = stack.enter_context(running(trained_store, tmp_path / "service", *flags, env=LONG_TIMEOUT))
        pool = stack.enter_context(ThreadPoolExecutor(WRITERS))
        address = service.client.base_url
        writers = [pool.submit(write, number, address, events // WRITERS, delivered) for number in range(WRITERS)]

        delivered.wait_for(events // 2, events)
        os.kill(int(primary.info("server")["process_id"]), signal.SIGKILL)
        died = time.monotonic()
        stack.enter_context(following(proxy, watch))
        wait_until(lambda: proxy.target != ports[0])
        promoted_s = time.monotonic() - died
        delivered.wait_for(events, events)
        for writer in writers:
            writer.result()

        kept, acknowledged = kept_events(service.client, USERS), by_key(delivered.acknowledged)
        missing, twice = len(acknowledged - kept.keys()), sum(count > 1 for count in kept.values())
        record_counts(
            acknowledged=len(delivered.acknowledged),
            refused=delivered.refused,
            promoted_after_s=f"{promoted_s:.1f}",
            missing=missing,
            twice=twice,
        )
        assert (missing, twice) == (0, 0)
