"""Records, archives, served lists and times to live on a real server."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from redis import Redis
from store_servers import DEADLINE_S, ConnectedUserStore, connect, free_port

from service.core.history import append
from service.core.values import EMPTY, ArchivedEvent, Event, Events, UserState
from service.errors import RecordDamaged, StoreUnavailable
from service.stores.embedded import EmbeddedStore
from service.stores.records.archive import encode_archived
from service.stores.redis.key_names import KeyNames
from service.stores.redis.users import MAX_ARCHIVED

pytestmark = pytest.mark.anyio

KEYS = KeyNames()
RECORD = append(EMPTY, Events.of([Event("a", 1.0, 1.7e9, 1)]), 10).record
GROWN = append(RECORD, Events.of([Event("b", 1.0, 0.0, 2)]), 10).record
ARCHIVE = (ArchivedEvent(0, Event("old", 4.5, 1.7e9, 11)), ArchivedEvent(3, Event("older", 1.0, 1.6e9, 12)))


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[ConnectedUserStore]:
    store = connect(embedded.url)
    yield store
    await store.close()


async def test_a_lost_served_list_is_no_unhandled_error() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    store = connect(f"redis://127.0.0.1:{free_port()}")
    store.note_served("ann", ["a"], RECORD.revision)
    await store.close()
    gc.collect()
    assert complaints == []


async def test_damaged_bytes_are_named(store: ConnectedUserStore, admin: Redis) -> None:
    admin.set(KEYS.record("ann"), b"damaged")
    with pytest.raises(RecordDamaged, match="user record"):
        await store.read("ann")


async def test_reads_of_one_tick_are_one_command(store: ConnectedUserStore, admin: Redis) -> None:
    await asyncio.gather(*(store.read(f"user {number}") for number in range(30)))
    assert admin.info("commandstats")["cmdstat_mget"]["calls"] == 1


async def test_a_cancelled_reader_does_not_affect_other_readers(store: ConnectedUserStore) -> None:
    await store.replace("ann", RECORD, 0)
    readers = [asyncio.create_task(store.read("ann")) for _ in range(3)]
    await asyncio.sleep(0)  # one tick: submitted, and still without an answer
    readers[0].cancel()
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert [outcome.revision for outcome in outcomes[1:]] == [1, 1]


async def test_every_key_has_a_time_to_live(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, ARCHIVE)
    store.note_served("ann", ["a"], RECORD.revision)
    await store.close()
    assert sorted(admin.keys()) == sorted(KEYS.of_user("ann"))
    assert admin.ttl(KEYS.record("ann")) in (999, 1000)
    assert admin.ttl(KEYS.archive("ann")) in (999, 1000)
    assert admin.ttl(KEYS.served("ann")) in (99, 100)


async def test_feedback_renews_a_users_time_to_live_and_a_new_bundle_does_not(
    store: ConnectedUserStore, admin: Redis
) -> None:
    await store.replace("ann", RECORD, 0, ARCHIVE)
    admin.expire(KEYS.record("ann"), 10)
    state = UserState("next bundle", np.ones(4, dtype=np.float32))
    await store.replace("ann", RECORD.with_state(state), RECORD.revision)
    assert admin.ttl(KEYS.record("ann")) <= 10
    await store.replace("ann", GROWN, RECORD.revision)
    assert admin.ttl(KEYS.record("ann")) > 10


async def test_a_list_renews_a_users_time_to_live_once_a_tenth_of_it_has_passed(
    store: ConnectedUserStore, admin: Redis
) -> None:
    await store.replace("ann", RECORD, 0, ARCHIVE)
    for remaining_s, renewed in ((950, False), (800, True)):
        for key in (KEYS.record("ann"), KEYS.archive("ann")):
            admin.expire(key, remaining_s)
        store.note_served("ann", ["a"], RECORD.revision)
        await store.read_with_served("ann")  # stores the list, unless the timer of an earlier list already has
        await until_stored(admin)
        assert (admin.ttl(KEYS.record("ann")) > 950, admin.ttl(KEYS.archive("ann")) > 950) == (renewed, renewed)
        admin.delete(KEYS.served("ann"))


async def store_a_list(store: ConnectedUserStore, admin: Redis) -> None:
    """After this the server knows the script."""
    store.note_served("ann", ["a"], 0)
    await until_stored(admin)


async def until_stored(admin: Redis) -> None:
    """Poll until the store has the list served to ann."""
    deadline = time.monotonic() + DEADLINE_S
    while not admin.exists(KEYS.served("ann")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_a_list_is_stored_soon_without_a_read(store: ConnectedUserStore, admin: Redis) -> None:
    await store_a_list(store, admin)


async def test_lists_are_stored_by_one_command_before_the_next_read(store: ConnectedUserStore, admin: Redis) -> None:
    await store_a_list(store, admin)
    admin.config_resetstat()
    users = [f"user {number}" for number in range(30)]
    for user_id in users:
        store.note_served(user_id, [user_id], 0)
    read = await asyncio.gather(*map(store.read_with_served, users))
    assert [served for _, served in read] == [(user_id,) for user_id in users]
    calls = {name: stats["calls"] for name, stats in admin.info("commandstats").items()}
    assert (calls["cmdstat_evalsha"], calls["cmdstat_mget"]) == (1, 1)


async def test_a_server_that_forgot_the_script_still_stores_lists(store: ConnectedUserStore, admin: Redis) -> None:
    await store_a_list(store, admin)
    admin.script_flush()
    store.note_served("bob", ["b"], 0)
    assert (await store.read_with_served("bob"))[1] == ("b",)


async def test_reads_without_a_list_do_not_wait_for_one_to_be_stored(embedded: EmbeddedStore, admin: Redis) -> None:
    store = connect(embedded.url, served_delay_s=DEADLINE_S)
    store.note_served("bob", ["b"], 0)
    await store.read("bob")
    assert not {"cmdstat_evalsha", "cmdstat_eval"} & admin.info("commandstats").keys()
    assert (await store.read_with_served("bob"))[1] == ("b",)
    await store.close()


async def test_a_list_that_is_not_stored_yet_is_erased_with_its_user(store: ConnectedUserStore, admin: Redis) -> None:
    store.note_served("ann", ["a"], 0)
    store.note_served("bob", ["a"], 0)
    assert await store.erase("ann") == ()
    await store.close()
    assert admin.keys() == [KEYS.served("bob")]


async def test_a_list_refused_by_a_replica_drops_the_connections(store: ConnectedUserStore, admin: Redis) -> None:
    """Lists alone are enough to notice, without feedback."""
    await store_a_list(store, admin)
    admin.replicaof("127.0.0.1", free_port())
    store.note_served("ann", ["a"], 0)
    await store.read_with_served("ann")
    before = admin.info("stats")["total_connections_received"]
    await store.read("ann")
    assert admin.info("stats")["total_connections_received"] == before + 1


async def test_of_very_many_archived_events_the_last_are_stored(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.rpush(KEYS.archive("ann"), *map(encode_archived, MAX_ARCHIVED * ARCHIVE))
    last = ArchivedEvent(2, Event("last", 1.0, 1.0, 3))
    await store.replace("ann", GROWN, RECORD.revision, (last,))
    archive = (await store.read_all("ann")).archive
    assert (len(archive), archive[-1]) == (MAX_ARCHIVED, last)


async def test_the_archive_of_an_expired_record_is_not_the_next_records(
    store: ConnectedUserStore, admin: Redis
) -> None:
    await store.replace("ann", RECORD, 0, ARCHIVE)
    admin.delete(KEYS.record("ann"))
    await store.replace("ann", RECORD, 0)
    assert (await store.read_all("ann")).archive == ()


async def test_a_full_store_still_erases(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, ARCHIVE)
    admin.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.rewrite("ann", RECORD, (), RECORD.revision)
    assert (await store.read_all("ann")).archive == ARCHIVE
    assert await store.erase("ann") == ("record", "older events")
    assert admin.keys() == []


async def test_a_damaged_served_list_counts_as_missing(store: ConnectedUserStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.set(KEYS.served("ann"), b"damaged")
    record, served = await store.read_with_served("ann")
    assert (record.revision, served) == (RECORD.revision, ())


async def test_damaged_data_can_be_erased(store: ConnectedUserStore, admin: Redis) -> None:
    admin.set(KEYS.record("ann"), b"damaged")
    admin.rpush(KEYS.archive("ann"), b"damaged")
    assert await store.erase("ann") == ("record", "older events")
    assert admin.keys() == []
