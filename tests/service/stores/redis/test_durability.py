"""A write is acknowledged only once it is on the store's disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis
from store_servers import (
    DEADLINE_S,
    PASSWORD,
    ConnectedUserStore,
    connect,
    debian_redis,
    failing_syncs,
    free_port,
    server_pid,
    valkey_on_tcp,
    wait_until,
)
from structlog.testing import capture_logs

from service.core.history import append
from service.core.ports import Durability
from service.core.values import EMPTY, Event, Events
from service.errors import AddressInvalid, StoreUnavailable, StoreUnsuitable
from service.stores.embedded import EmbeddedStore
from service.stores.redis.connection import StoreAddress
from service.stores.redis.durability import check
from service.stores.redis.key_names import KeyNames

pytestmark = pytest.mark.anyio

KEYS = KeyNames()
RECORD = append(EMPTY, Events.of([Event("a", 1.0, 1.7e9, 1)]), 10).record


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[ConnectedUserStore]:
    store = connect(embedded.url, disk_timeout_s=0.2)
    yield store
    await store.close()


async def test_a_write_that_cannot_be_synced_is_not_acknowledged(
    store: ConnectedUserStore, embedded: EmbeddedStore
) -> None:
    """The disk fails: a server that answers before it syncs would not notice."""
    assert await store.replace("ann", RECORD, 0)
    with failing_syncs(server_pid(embedded.url)), pytest.raises(StoreUnavailable):
        await store.replace("bob", RECORD, 0)


async def test_a_write_that_does_not_reach_the_disk_in_time_is_not_acknowledged(
    store: ConnectedUserStore, admin: Redis
) -> None:
    assert await store.replace("cleo", RECORD, 0)
    admin.config_set("appendfsync", "no")  # so WAITAOF never confirms anything
    with pytest.raises(StoreUnavailable, match="not on disk in time"):
        await store.replace("ann", RECORD, 0)
    with pytest.raises(StoreUnavailable, match="not on disk in time"):
        await store.erase("ann")


async def test_a_store_without_an_append_only_file_acknowledges_nothing(
    store: ConnectedUserStore, admin: Redis
) -> None:
    admin.config_set("appendonly", "no")
    with pytest.raises(StoreUnavailable, match="cannot confirm that it is on disk"):
        await store.replace("ann", RECORD, 0)


async def test_a_store_that_was_away_at_the_start_is_checked_on_connection(
    store: ConnectedUserStore, admin: Redis
) -> None:
    """So is a promoted replica, whose settings were not checked before."""
    admin.config_set("appendfsync", "everysec")
    with pytest.raises(StoreUnavailable, match=r"appendfsync everysec, .* expected appendfsync always"):
        await store.replace("ann", RECORD, 0)
    assert await store.read("ann") is EMPTY
    admin.config_set("appendfsync", "always")
    assert await store.replace("ann", RECORD, 0)


async def test_a_repeated_script_waits_for_the_disk_too(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.script_flush()
    admin.config_set("appendfsync", "no")
    with pytest.raises(StoreUnavailable, match="not on disk in time"):
        await store.replace("bob", RECORD, 0)


async def test_a_cached_state_does_not_wait_for_the_disk(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.config_set("appendfsync", "no")
    assert await store.replace("ann", RECORD, RECORD.revision, is_cache=True)


async def test_a_replicated_write_is_not_acknowledged_until_a_replica_has_it(tmp_path: Path) -> None:
    port, replica_port = free_port(), free_port()
    with (
        valkey_on_tcp(tmp_path / "primary", port),
        valkey_on_tcp(tmp_path / "replica", replica_port, "--replicaof", f"127.0.0.1 {port}") as replica,
    ):
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
        store = connect(f"redis://127.0.0.1:{port}", disk_timeout_s=DEADLINE_S, durability="replicated")
        assert await store.replace("ann", RECORD, 0)
        assert replica.exists(KEYS.record("ann"))  # by now, not some time later
        await store.close()
        replica.replicaof("NO", "ONE")
        store = connect(f"redis://127.0.0.1:{port}", disk_timeout_s=0.2, durability="replicated")
        with pytest.raises(StoreUnavailable, match="not on a replica in time"):
            await store.replace("bob", RECORD, 0)
        await store.close()


async def test_a_fast_store_does_not_wait(embedded: EmbeddedStore, admin: Redis) -> None:
    admin.config_set("appendfsync", "no")
    store = connect(embedded.url, durability="fast")
    assert await store.replace("ann", RECORD, 0)
    await store.close()
    assert "cmdstat_waitaof" not in admin.info("commandstats")


async def test_writes_of_one_tick_share_one_wait_for_the_disk(store: ConnectedUserStore, admin: Redis) -> None:
    await asyncio.gather(*(store.replace(f"user {number}", RECORD, 0) for number in range(30)))
    assert admin.info("commandstats")["cmdstat_waitaof"]["calls"] <= 2  # a second one if the script was unknown


async def ten_writers(store: ConnectedUserStore, name: str) -> list[asyncio.Task[bool]]:
    """Writers that start in ten ticks, so that they use ten connections."""
    writers = []
    for number in range(10):
        writers.append(asyncio.create_task(store.replace(f"{name} {number}", RECORD, 0)))
        await asyncio.sleep(0)
    return writers


async def test_readers_do_not_queue_behind_the_disk(embedded: EmbeddedStore, admin: Redis) -> None:
    store = connect(embedded.url, disk_timeout_s=DEADLINE_S)
    await asyncio.gather(*await ten_writers(store, "first"))  # the connections open while the server syncs
    admin.config_set("appendfsync", "no")
    writers = await ten_writers(store, "second")
    assert await store.read("reader") is EMPTY
    assert not any(writer.done() for writer in writers)
    admin.config_set("appendfsync", "always")
    assert all(await asyncio.gather(*writers))
    await store.close()


def test_an_old_redis_is_refused_with_a_remedy(debian_port: int) -> None:
    with pytest.raises(StoreUnsuitable, match=r"refuses WAITAOF.*Redis from 7\.2.*--durability fast"):
        check(StoreAddress(f"redis://127.0.0.1:{debian_port}", PASSWORD), "durable", 5)
    check(StoreAddress(f"redis://127.0.0.1:{debian_port}", PASSWORD), "fast", 5)


def test_a_store_that_confirms_before_it_syncs_is_refused(embedded: EmbeddedStore, admin: Redis) -> None:
    check(StoreAddress(embedded.url), "durable", 5)
    admin.config_set("appendfsync", "everysec")
    for durability in ("durable", "replicated"):
        with pytest.raises(StoreUnsuitable, match=f"{durability}, but .* appendfsync everysec, .* expected .* always"):
            check(StoreAddress(embedded.url), durability, 5)
    check(StoreAddress(embedded.url), "fast", 5)


EVICTING = (
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu"),
    "allkeys-random",
)


@pytest.mark.parametrize("maxmemory", ["0", "200mb"])
@pytest.mark.parametrize("policy", EVICTING)
def test_a_store_that_evicts_is_refused_with_a_remedy(
    embedded: EmbeddedStore, admin: Redis, policy: str, maxmemory: str
) -> None:
    """Whatever the limit is now: it can change while connections are open, and they are not checked again."""
    admin.config_set("maxmemory", maxmemory)
    admin.config_set("maxmemory-policy", policy)
    for durability in ("durable", "replicated", "fast"):
        with pytest.raises(StoreUnsuitable, match=rf"maxmemory-policy {policy}, .*CONFIG SET maxmemory-policy noevict"):
            check(StoreAddress(embedded.url), durability, 5)
    admin.config_set("maxmemory-policy", "noeviction")
    check(StoreAddress(embedded.url), "durable", 5)


def test_an_older_redis_that_evicts_is_refused_too(tmp_path: Path) -> None:
    port = free_port()
    options = ("--port", str(port), "--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")
    with debian_redis(tmp_path, port, *options), pytest.raises(StoreUnsuitable, match="maxmemory-policy volatile-lru"):
        check(StoreAddress(f"redis://127.0.0.1:{port}", PASSWORD), "fast", 5)


@pytest.mark.parametrize("durability", ["durable", "fast"])
async def test_a_store_that_began_to_evict_is_not_written_to_by_new_connections(
    embedded: EmbeddedStore, admin: Redis, durability: Durability
) -> None:
    admin.config_set("maxmemory-policy", "allkeys-lru")
    store = connect(embedded.url, durability=durability)
    with pytest.raises(
        StoreUnavailable, match=r"maxmemory-policy allkeys-lru, .* expected maxmemory-policy noeviction"
    ):
        await store.replace("ann", RECORD, 0)
    assert await store.read("ann") is EMPTY
    admin.config_set("maxmemory-policy", "noeviction")
    assert await store.replace("ann", RECORD, 0)
    await store.close()


def test_a_store_that_stops_syncing_while_it_rewrites_its_file_is_refused(
    embedded: EmbeddedStore, admin: Redis
) -> None:
    admin.config_set("no-appendfsync-on-rewrite", "yes")
    with pytest.raises(StoreUnsuitable, match="expected no-appendfsync-on-rewrite no"):
        check(StoreAddress(embedded.url), "durable", 5)
    check(StoreAddress(embedded.url), "fast", 5)


async def test_a_full_store_keeps_acknowledged_users_and_refuses_the_rest(
    store: ConnectedUserStore, admin: Redis
) -> None:
    """A store that evicts lost a third of its users here."""
    await store.replace("ann", RECORD, 0)
    admin.config_set("maxmemory", str(admin.info("memory")["used_memory"] + 2_000_000))
    acknowledged, refused = {KEYS.record("ann")}, []
    for first in range(0, 100_000, 200):
        users = [f"user {number}" for number in range(first, first + 200)]
        outcomes = await asyncio.gather(*(store.replace(user, RECORD, 0) for user in users), return_exceptions=True)
        acknowledged |= {KEYS.record(user) for user, outcome in zip(users, outcomes, strict=True) if outcome is True}
        refused = [outcome for outcome in outcomes if isinstance(outcome, StoreUnavailable)]
        if refused:
            break
    assert refused[0].detail.startswith("user store: its memory is full")
    assert len(acknowledged) > 200
    assert acknowledged == set(admin.keys())


def test_a_database_beyond_the_stores_is_refused(embedded: EmbeddedStore) -> None:
    with pytest.raises(AddressInvalid, match="a database that the store does not have"):
        check(StoreAddress(f"{embedded.url}?db=99"), "durable", 5)


def test_a_store_that_hides_its_settings_is_accepted_with_a_warning(embedded: EmbeddedStore, admin: Redis) -> None:
    admin.acl_setuser("kshot", enabled=True, nopass=True, keys=["*"], commands=["+waitaof", "+hello", "+client"])
    with capture_logs() as logged:
        check(StoreAddress(embedded.url.replace("unix://", "unix://kshot:any@")), "durable", 5)
    assert [line["event"] for line in logged] == 3 * ["user store hides a setting"]
    assert [line["expected"] for line in logged] == [
        *("maxmemory-policy noeviction", "appendfsync always", "no-appendfsync-on-rewrite no")
    ]


@pytest.mark.parametrize("durability", ["durable", "fast"])
async def test_a_store_that_hides_its_settings_and_evicts_is_refused(tmp_path: Path, durability: Durability) -> None:
    """Hosted stores hide CONFIG, and many evict by default."""
    port = free_port()
    with valkey_on_tcp(tmp_path, port, "--rename-command", "CONFIG", "", "--maxmemory-policy", "volatile-lru"):
        with pytest.raises(StoreUnsuitable, match="maxmemory-policy volatile-lru"):
            check(StoreAddress(f"redis://127.0.0.1:{port}"), durability, 5)
        store = connect(f"redis://127.0.0.1:{port}", durability=durability)
        with pytest.raises(StoreUnavailable, match="maxmemory-policy volatile-lru"):
            await store.replace("ann", RECORD, 0)
        await store.close()


def test_a_store_without_an_append_only_file_is_refused(embedded: EmbeddedStore, admin: Redis) -> None:
    admin.config_set("appendonly", "no")
    with pytest.raises(StoreUnsuitable, match="appendonly yes"):
        check(StoreAddress(embedded.url), "durable", 5)


def test_a_missing_store_is_not_refused(debian_port: int) -> None:
    with capture_logs() as logged:
        check(StoreAddress(f"redis://:secret@127.0.0.1:{free_port()}"), "durable", 5)
        check(StoreAddress(f"redis://127.0.0.1:{debian_port}", "wrong-secret"), "durable", 5)
    assert [line["event"] for line in logged] == 2 * ["user store not checked"]
    assert "secret" not in str(logged)


def test_a_replica_is_not_refused_since_it_may_be_promoted(embedded: EmbeddedStore, admin: Redis) -> None:
    admin.replicaof("127.0.0.1", free_port())
    with capture_logs() as logged:
        check(StoreAddress(embedded.url), "durable", 5)
    assert [line["event"] for line in logged] == ["user store not checked"]
    admin.replicaof("NO", "ONE")
