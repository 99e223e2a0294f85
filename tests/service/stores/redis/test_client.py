"""What can go wrong between the service and its store, done to real servers."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import quote, unquote
from uuid import uuid4

import numpy as np
import pytest
from fault_proxy import fault_proxy
from redis import Redis
from redis.crc import key_slot
from store_servers import DEADLINE_S, PASSWORD, connect, free_port, server_pid, tls_redis

from service.core.history import append
from service.core.values import EMPTY, Departed, Event, Events, UserState
from service.errors import AddressInvalid, RecordDamaged, SettingInvalid, StoreUnavailable
from service.stores.embedded import EmbeddedStore
from service.stores.records.archive import encode_departed
from service.stores.redis import client as redis_store
from service.stores.redis.client import MAX_OLDER, RedisStore
from service.stores.redis.key_names import keys_of, older_key, record_key, served_key
from service.stores.redis.pipeline import Lines

pytestmark = pytest.mark.anyio

RECORD = append(EMPTY, Events.of([Event("a", 1.0, 1.7e9, 1)]), 10).record
LEFT = (Departed(0, Event("old", 4.5, 1.7e9, 11)), Departed(3, Event("older", 1.0, 1.6e9, 12)))


@pytest.fixture
def admin(embedded: EmbeddedStore) -> Iterator[Redis]:
    """A client of the server that this test may break."""
    with Redis.from_url(embedded.url) as client:
        yield client


@pytest.fixture
async def store(embedded: EmbeddedStore) -> AsyncIterator[RedisStore]:
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
    """An answer that comes late must not be taken for the answer to a later question."""
    store = connect(embedded.url, timeout_s=0.1)
    await store.replace("ann", RECORD, 0)
    pid = server_pid(embedded.url)
    os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            await asyncio.gather(*(store.read("ann") for _ in range(5)), return_exceptions=True)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert [await store.read("nobody") for _ in range(20)] == [EMPTY] * 20
    await store.close()


async def test_connections_kept_at_hand_keep_nobody_waiting(embedded_url: str) -> None:
    store = connect(embedded_url, max_connections=2)
    lines = Lines(store._reader.connection_pool)
    many = asyncio.gather(*(lines.ask([("ECHO", str(number))]) for number in range(6)))
    answers = await asyncio.wait_for(many, DEADLINE_S)
    assert answers == [[str(number).encode()] for number in range(6)]
    await store.ping()
    await store.close()


async def test_a_restarted_store_is_found_again(embedded: EmbeddedStore, store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    await asyncio.gather(*(store.read("ann") for _ in range(5)))
    admin.execute_command("WAITAOF", 1, 0, 5000)
    os.kill(server_pid(embedded.url), signal.SIGKILL)
    again = EmbeddedStore.start(embedded.folder, timeout_s=DEADLINE_S)
    assert (await store.read("ann")).events.item_ids == ("a",)
    assert await store.replace("ann", RECORD, 1)
    again.stop()


async def test_a_store_that_is_not_there_is_unavailable() -> None:
    port = free_port()
    store = connect(f"redis://127.0.0.1:{port}")
    with pytest.raises(StoreUnavailable, match=f"user store redis://127.0.0.1:{port}: "):
        await store.read("ann")
    await store.close()


async def test_a_served_list_that_is_lost_bothers_nobody() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    store = connect(f"redis://127.0.0.1:{free_port()}")
    store.note_served("ann", ["a"], RECORD.revision)
    await store.close()
    gc.collect()
    assert complaints == []


async def test_a_server_that_forgot_the_script_gets_it_again(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.script_flush()
    outcomes = await asyncio.gather(
        store.replace("bob", RECORD, 0), store.replace("ann", RECORD, 0), store.replace("cleo", RECORD, 0)
    )
    assert outcomes == [True, False, True]


async def test_a_full_store_refuses_writes_and_still_reads(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.replace("ann", RECORD, 1)
    assert (await store.read("ann")).revision == 1
    admin.config_set("maxmemory", "0")
    assert await store.replace("ann", RECORD, 1)


async def test_a_read_only_replica_refuses_writes_and_still_reads(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.replicaof("127.0.0.1", free_port())
    with pytest.raises(StoreUnavailable, match="read only replica"):
        await store.replace("ann", RECORD, 1)
    assert (await store.read("ann")).revision == 1
    admin.replicaof("NO", "ONE")
    assert await store.replace("ann", RECORD, 1)


async def test_damaged_bytes_are_named(store: RedisStore, admin: Redis) -> None:
    admin.set(record_key("ann"), b"no record at all")
    with pytest.raises(RecordDamaged, match="user record"):
        await store.read("ann")


async def test_reads_of_one_tick_are_one_command(store: RedisStore, admin: Redis) -> None:
    await asyncio.gather(*(store.read(f"user {number}") for number in range(30)))
    assert admin.info("commandstats")["cmdstat_mget"]["calls"] == 1


async def test_a_cancelled_reader_takes_nothing_from_the_others(store: RedisStore) -> None:
    await store.replace("ann", RECORD, 0)
    readers = [asyncio.create_task(store.read("ann")) for _ in range(3)]
    await asyncio.sleep(0)  # one tick: they have asked, nobody has answered
    readers[0].cancel()
    outcomes = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert [outcome.revision for outcome in outcomes[1:]] == [1, 1]


async def test_an_acknowledged_write_is_read_by_every_worker(embedded_url: str) -> None:
    user_id, one, other = uuid4().hex, connect(embedded_url), connect(embedded_url)
    record = EMPTY
    for number in range(50):
        record = append(record, Events.of([Event(str(number), 1.0, 0.0, number)]), 100).record
        assert await one.replace(user_id, record, number)
        assert (await other.read(user_id)).revision == number + 1
    await one.close()
    await other.close()


async def test_every_key_has_a_time_to_live(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, LEFT)
    store.note_served("ann", ["a"], RECORD.revision)
    await store.close()
    assert sorted(admin.keys()) == sorted(keys_of("ann"))
    assert admin.ttl(record_key("ann")) in (999, 1000)
    assert admin.ttl(older_key("ann")) in (999, 1000)
    assert admin.ttl(served_key("ann")) in (99, 100)


async def test_feedback_prolongs_a_users_life_and_a_new_bundle_does_not(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, LEFT)
    admin.expire(record_key("ann"), 10)
    state = UserState("next bundle", np.ones(4, dtype=np.float32))
    await store.replace("ann", RECORD.with_state(state), RECORD.revision)
    assert admin.ttl(record_key("ann")) <= 10
    grown = append(RECORD, Events.of([Event("b", 1.0, 0.0, 2)]), 10).record
    await store.replace("ann", grown, RECORD.revision)
    assert admin.ttl(record_key("ann")) > 10


async def test_a_list_prolongs_a_users_life_a_tenth_of_it_later(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, LEFT)
    for left_s, renewed in ((950, False), (800, True)):
        for key in (record_key("ann"), older_key("ann")):
            admin.expire(key, left_s)
        store.note_served("ann", ["a"], RECORD.revision)
        await store.read_with_served("ann")  # takes the note along, unless the timer of an earlier note has
        await until_noted(admin)
        assert (admin.ttl(record_key("ann")) > 950, admin.ttl(older_key("ann")) > 950) == (renewed, renewed)
        admin.delete(served_key("ann"))


async def a_list_is_noted(store: RedisStore, admin: Redis) -> None:
    """After which the server knows the script."""
    store.note_served("ann", ["a"], 0)
    await until_noted(admin)


async def until_noted(admin: Redis) -> None:
    """Poll until the store has a list that was served."""
    deadline = time.monotonic() + DEADLINE_S
    while not admin.exists(served_key("ann")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def test_a_list_is_noted_soon_though_nobody_reads(store: RedisStore, admin: Redis) -> None:
    await a_list_is_noted(store, admin)


async def test_lists_are_noted_by_one_command_before_the_next_read(store: RedisStore, admin: Redis) -> None:
    await a_list_is_noted(store, admin)
    admin.config_resetstat()
    users = [f"user {number}" for number in range(30)]
    for user_id in users:
        store.note_served(user_id, [user_id], 0)
    read = await asyncio.gather(*map(store.read_with_served, users))
    assert [served for _, served in read] == [(user_id,) for user_id in users]
    calls = {name: stats["calls"] for name, stats in admin.info("commandstats").items()}
    assert (calls["cmdstat_evalsha"], calls["cmdstat_mget"]) == (1, 1)


async def test_a_server_that_forgot_the_script_notes_lists_all_the_same(store: RedisStore, admin: Redis) -> None:
    await a_list_is_noted(store, admin)
    admin.script_flush()
    store.note_served("bob", ["b"], 0)
    assert (await store.read_with_served("bob"))[1] == ("b",)


async def test_reads_that_ask_for_no_list_do_not_wait_for_one_to_be_noted(
    store: RedisStore, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_list_is_noted(store, admin)
    monkeypatch.setattr(redis_store, "NOTES_WAIT_S", DEADLINE_S)
    store.note_served("bob", ["b"], 0)
    admin.config_resetstat()
    await store.read("bob")
    assert "cmdstat_evalsha" not in admin.info("commandstats")


async def test_a_list_that_waits_to_be_noted_is_erased_with_its_user(store: RedisStore, admin: Redis) -> None:
    store.note_served("ann", ["a"], 0)
    store.note_served("bob", ["a"], 0)
    assert await store.erase("ann") == ()
    await store.close()
    assert admin.keys() == [served_key("bob")]


async def test_a_list_refused_by_a_replica_gives_up_its_connections(store: RedisStore, admin: Redis) -> None:
    """Lists alone are enough to find out, where nobody gives feedback."""
    await a_list_is_noted(store, admin)
    admin.replicaof("127.0.0.1", free_port())
    store.note_served("ann", ["a"], 0)
    await store.read_with_served("ann")
    before = admin.info("stats")["total_connections_received"]
    await store.read("ann")
    assert admin.info("stats")["total_connections_received"] == before + 1


async def test_of_very_many_older_events_the_last_are_held(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.rpush(older_key("ann"), *map(encode_departed, MAX_OLDER * LEFT))
    grown = append(RECORD, Events.of([Event("b", 1.0, 0.0, 2)]), 10).record
    last = Departed(2, Event("last", 1.0, 1.0, 3))
    await store.replace("ann", grown, RECORD.revision, (last,))
    older = (await store.held("ann")).older
    assert (len(older), older[-1]) == (MAX_OLDER, last)


async def test_older_events_of_a_record_that_ran_out_are_not_another_ones(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, LEFT)
    admin.delete(record_key("ann"))
    await store.replace("ann", RECORD, 0)
    assert (await store.held("ann")).older == ()


async def test_a_full_store_still_erases(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0, LEFT)
    admin.config_set("maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="maxmemory"):
        await store.rewrite("ann", RECORD, (), RECORD.revision)
    assert (await store.held("ann")).older == LEFT
    assert await store.erase("ann") == ("record", "older events")
    assert admin.keys() == []


async def test_a_damaged_served_list_is_as_good_as_none(store: RedisStore, admin: Redis) -> None:
    await store.replace("ann", RECORD, 0)
    admin.set(served_key("ann"), b"no list at all")
    record, served = await store.read_with_served("ann")
    assert (record.revision, served) == (RECORD.revision, ())


async def test_damaged_data_is_erased_as_any(store: RedisStore, admin: Redis) -> None:
    admin.set(record_key("ann"), b"no record at all")
    admin.rpush(older_key("ann"), b"no event")
    assert await store.erase("ann") == ("record", "older events")
    assert admin.keys() == []


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
        await answers_again(store)
        await store.close()


async def test_connections_to_a_primary_that_became_a_replica_are_given_up(store: RedisStore, admin: Redis) -> None:
    """Those for reads too: so that an address that leads to the new primary now is asked again."""
    await store.replace("ann", RECORD, 0)
    admin.replicaof("127.0.0.1", free_port())
    with pytest.raises(StoreUnavailable, match="read only replica"):
        await store.replace("ann", RECORD, 1)
    before = admin.info("stats")["total_connections_received"]
    admin.replicaof("NO", "ONE")
    assert await store.replace("ann", RECORD, 1)
    await store.read("ann")
    assert admin.info("stats")["total_connections_received"] == before + 2


async def answers_again(store: RedisStore) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            await store.ping()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        else:
            return


@pytest.mark.parametrize("user_id", ["ann", "}", "a}b", "{", "}{", "{}", "é", "%7D"])
async def test_all_keys_of_a_user_are_on_one_node_of_a_cluster(user_id: str) -> None:
    assert len({key_slot(key) for key in keys_of(user_id)}) == 1
    assert key_slot(record_key(user_id)) != key_slot(record_key(user_id + "x"))


async def test_a_password_may_come_beside_the_address(debian_port: int) -> None:
    store = connect(f"redis://127.0.0.1:{debian_port}", password=PASSWORD)
    await store.ping()
    await store.close()


@pytest.mark.parametrize("user", ["", "someone"])
async def test_a_wrong_password_is_refused_and_not_shown(debian_port: int, user: str) -> None:
    store = connect(f"redis://{user}:wrong-one@127.0.0.1:{debian_port}/0")
    with pytest.raises(StoreUnavailable, match=f"user store redis://127.0.0.1:{debian_port}/0: ") as caught:
        await store.read("ann")
    assert "wrong-one" not in "".join(traceback.format_exception(caught.value))
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2@127.0.0.1",
        "127.0.0.1:6379?hunter2",
        "redis://:hunter2/x@127.0.0.1",
        "redis://:1/hunter2@127.0.0.1",
        "redis://:1#hunter2@127.0.0.1",
        "redis://:1?hunter2@127.0.0.1",
    ],
)
async def test_an_unusable_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(AddressInvalid, match="percent-encoded") as caught:
        connect(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "redis://here/staging",
            "redis://here/prod",
            "rediss://here:6380/staging",
            "redis://here/1/2",
            "redis://here/-1",
        ),
        *(
            "redis://here/1.0",
            "redis://here//1",
            "redis://here/\uff11",
            "redis://here/0x1",
            "redis://:hunter2@here/db0",
        ),
        *(
            "redis://here?db=staging",
            "redis://here?db=",
            "redis://here?db=-1",
            "redis://here/1?db=2",
            "redis://here?db=1&db=2",
        ),
        *("unix:///run/redis.sock?db=staging", "unix:///run/redis.sock?db=1&db=2"),
    ],
)
def test_a_database_that_is_no_number_is_refused(url: str) -> None:
    """To redis-py they are all database 0, or one put together out of the digits."""
    with pytest.raises(AddressInvalid, match=r"expected an address as redis://host:6379/0 .* --redis-prefix") as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        *(
            ("redis://here", 0),
            ("redis://here/", 0),
            ("redis://here/3", 3),
            ("redis://here/3/", 3),
            ("redis://here?db=4", 4),
        ),
        *(("unix:///run/redis.sock", 0), ("unix:///run/redis.sock?db=5", 5), ("rediss://here:6380/6", 6)),
    ],
)
def test_a_database_is_the_one_of_the_number(url: str, database: int) -> None:
    assert connect(url)._reader.connection_pool.connection_kwargs.get("db") in (database, database or None)


def test_an_option_that_nobody_knows_is_refused_at_the_start() -> None:
    with pytest.raises(AddressInvalid, match="only options that redis-py knows"):
        connect("redis://here?databse=1")


@pytest.mark.parametrize(("url", "told"), [("redis://here", "expected none, or a rediss://"), ("rediss://here", "PEM")])
def test_certificates_that_cannot_be_used_are_refused_at_the_start(tmp_path: Path, url: str, told: str) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingInvalid, match=f"redis_ca_file: .*ca.pem, .*{told}"):
        connect(url, ca_file=tmp_path / "ca.pem")


async def test_tls_with_a_password_works(tmp_path: Path) -> None:
    with tls_redis(tmp_path) as (port, certificate):
        address = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0"
        trusting, doubting = connect(address, ca_file=certificate), connect(address)
        await trusting.ping()
        with pytest.raises(StoreUnavailable, match="certificate"):
            await doubting.ping()
        await trusting.close()
        await doubting.close()
