"""Failures between the service and its store, caused on real servers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest
from fault_proxy import fault_proxy
from redis import Redis
from store_servers import DEADLINE_S, ConnectedUserStore, connect, free_port, server_pid

from service.core.history import append
from service.core.values import EMPTY, Event, Events
from service.errors import StoreUnavailable
from service.stores.embedded import EmbeddedStore

pytestmark = pytest.mark.anyio

RECORD = append(EMPTY, Events.of([Event("a", 1.0, 1.7e9, 1)]), 10).record


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[ConnectedUserStore]:
    store = connect(embedded.url)
    yield store
    await store.close()


async def test_a_store_that_hangs_is_unavailable_in_time_and_recovers(embedded: EmbeddedStore) -> None:
    store = connect(embedded.url, timeout_s=0.1, disk_timeout_s=0.1)
    await store.replace("ann", RECORD, 0)
    pid = server_pid(embedded.url)
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        operations = (store.read("ann"), store.replace("ann", RECORD, 1), store.ping(), store.read("bob"))
        outcomes = await asyncio.gather(*operations, return_exceptions=True)
        took_s = time.monotonic() - started
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 4
    assert took_s < 1
    assert "no answer within 0.1 s" in str(outcomes[0])
    assert (await store.read("ann")).events.item_ids == ("a",)
    await store.close()


async def test_a_burst_while_the_store_hangs_leaves_no_wrong_answers(embedded: EmbeddedStore) -> None:
    """A late answer must not be taken for the answer to a later request."""
    store = connect(embedded.url, timeout_s=0.1)
    await store.replace("ann", RECORD, 0)
    pid = server_pid(embedded.url)
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            await asyncio.gather(*(store.read("ann") for _ in range(5)), return_exceptions=True)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [await store.read("unknown") for _ in range(20)] == [EMPTY] * 20
    await store.close()


async def test_a_restarted_store_is_reached_again(
    embedded: EmbeddedStore, store: ConnectedUserStore, admin: Redis
) -> None:
    await store.replace("ann", RECORD, 0)
    await asyncio.gather(*(store.read("ann") for _ in range(5)))
    admin.execute_command("WAITAOF", 1, 0, 5000)
    os.kill(server_pid(embedded.url), signal.SIGKILL)
    again = EmbeddedStore.start(embedded.folder, timeout_s=DEADLINE_S)
    assert (await store.read("ann")).events.item_ids == ("a",)
    assert await store.replace("ann", RECORD, 1)
    again.stop()


async def test_a_missing_store_is_unavailable() -> None:
    port = free_port()
    store = connect(f"redis://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match=f"user store redis://127.0.0.1:{port}: "):
        await store.read("ann")
    await store.close()


async def test_a_server_that_forgot_the_script_gets_it_again(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.script_flush()
    outcomes = await asyncio.gather(
        store.replace("bob", RECORD, 0), store.replace("ann", RECORD, 0), store.replace("cleo", RECORD, 0)
    )
    assert outcomes == [True, False, True]


async def test_a_full_store_refuses_writes_and_still_reads(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.replace("ann", RECORD, 1)
    assert (await store.read("ann")).revision == 1
    admin.config_set("maxmemory", "0")
    assert await store.replace("ann", RECORD, 1)


async def test_a_read_only_replica_refuses_writes_and_still_reads(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.replicaof("127.0.0.1", free_port())
    with pytest.raises(StoreUnavailable, match="read only replica"):
        await store.replace("ann", RECORD, 1)
    assert (await store.read("ann")).revision == 1
    admin.replicaof("NO", "ONE")
    assert await store.replace("ann", RECORD, 1)


async def test_a_store_that_does_not_answer_is_left_alone_until_a_probe_succeeds(embedded: EmbeddedStore) -> None:
    with fault_proxy(unquote(embedded.url.removeprefix("unix://"))) as proxy:
        store = connect(f"redis://127.0.0.1:{proxy.port}")
        await store.ping()
        proxy.faults.refuses = True
        proxy.cut()
        outcomes = [await asyncio.gather(store.read("ann"), return_exceptions=True) for _ in range(50)]
        tried = proxy.connections
        assert all(isinstance(outcome, StoreUnavailable) for (outcome,) in outcomes)
        assert "was not asked" in str(outcomes[-1][0])
        assert tried <= 1 + 5 + 3  # the first, the failures that open the breaker, and probes meanwhile
        proxy.faults.refuses = False
        await until_answering(store)
        await store.close()


async def until_answering(store: ConnectedUserStore) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            await store.ping()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        else:
            return


async def test_connections_to_a_demoted_primary_are_dropped(store: ConnectedUserStore, admin: Redis) -> None:
    """The connections for reads too: new ones to the same address reach the new primary."""
    await store.replace("ann", RECORD, 0)
    admin.replicaof("127.0.0.1", free_port())
    with pytest.raises(StoreUnavailable, match="read only replica"):
        await store.replace("ann", RECORD, 1)
    before = admin.info("stats")["total_connections_received"]
    admin.replicaof("NO", "ONE")
    assert await store.replace("ann", RECORD, 1)
    await store.read("ann")
    assert admin.info("stats")["total_connections_received"] == before + 2


async def test_an_acknowledged_write_is_read_by_every_worker(embedded_url: str) -> None:
    first, second = connect(embedded_url, prefix="workers"), connect(embedded_url, prefix="workers")
    record = EMPTY
    for number in range(50):
        record = append(record, Events.of([Event(str(number), 1.0, 0.0, number)]), 100).record
        assert await first.replace("ann", record, number)
        assert (await second.read("ann")).revision == number + 1
    await first.close()
    await second.close()
