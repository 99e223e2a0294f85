"""The behaviour of every UserStore, tested on each implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import pytest
from memory_store import MemoryStore
from store_servers import PASSWORD, connect

from service.core.history import append, event_digest
from service.core.ports import UserStore
from service.core.values import EMPTY, ArchivedEvent, Event, Events, UserRecord, UserState
from service.stores.records.codec import encode_record

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "embedded valkey", "redis with password"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[UserStore]:
    match request.param:
        case "memory":
            store: UserStore = MemoryStore()
        case "embedded valkey":
            store = connect(request.getfixturevalue("embedded_url"))
        case _:
            port = request.getfixturevalue("debian_port")
            store = connect(f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0", durability="fast")
    yield store
    await store.close()


@pytest.fixture
def user_id() -> str:
    return uuid4().hex


def event(item_id: str) -> Events:
    return Events.of([Event(item_id, 4.5, 1.7e9, event_digest(item_id))])


def record_of(*item_ids: str, state: UserState | None = None) -> UserRecord:
    record = EMPTY
    for item_id in item_ids:
        record = append(record, event(item_id), 20).record
    return record if state is None else record.with_state(state)


async def test_a_new_user_has_the_empty_record(store: UserStore, user_id: str) -> None:
    assert await store.read(user_id) is EMPTY
    assert await store.read_with_served(user_id) == (EMPTY, ())


async def test_a_record_is_read_as_it_was_written(store: UserStore, user_id: str) -> None:
    state = UserState("bundle", np.linspace(-1, 1, 64, dtype=np.float32))
    record = record_of("a", "b", "a", state=state)
    assert await store.replace(user_id, record, 0)
    assert encode_record(await store.read(user_id)) == encode_record(record)


async def test_a_stale_writer_is_refused(store: UserStore, user_id: str) -> None:
    first, rival = record_of("a"), record_of("b")
    assert await store.replace(user_id, first, 0)
    assert not await store.replace(user_id, rival, 0)
    assert (await store.read(user_id)).events.item_ids == ("a",)


async def test_a_writer_that_expects_a_deleted_record_is_refused(store: UserStore, user_id: str) -> None:
    assert not await store.replace(user_id, record_of("a", "b"), 1)
    assert await store.read(user_id) is EMPTY


async def test_a_state_can_be_renewed_without_a_new_revision(store: UserStore, user_id: str) -> None:
    record = record_of("a")
    await store.replace(user_id, record, 0)
    state = UserState("next bundle", np.ones(3, dtype=np.float32))
    assert await store.replace(user_id, record.with_state(state), record.revision)
    kept = await store.read(user_id)
    assert kept.revision == record.revision
    assert kept.state is not None
    assert kept.state.bundle == "next bundle"


async def test_concurrent_appends_lose_nothing(store: UserStore, user_id: str) -> None:
    async def keep(item_id: str) -> None:
        while True:
            record = await store.read(user_id)
            if await store.replace(user_id, append(record, event(item_id), 100).record, record.revision):
                return

    item_ids = {str(number) for number in range(24)}
    await asyncio.gather(*map(keep, item_ids))
    kept = await store.read(user_id)
    assert set(kept.events.item_ids) == item_ids
    assert kept.revision == len(item_ids)


async def test_concurrent_readers_get_the_right_user(store: UserStore, user_id: str) -> None:
    user_ids = [f"{user_id}-{number}" for number in range(50)]
    await asyncio.gather(*(store.replace(reader, record_of(reader), 0) for reader in user_ids[::2]))
    records = await asyncio.gather(*map(store.read, user_ids))
    expected = [(reader,) if number % 2 == 0 else () for number, reader in enumerate(user_ids)]
    assert [record.events.item_ids for record in records] == expected


async def test_any_text_is_a_distinct_user_id(store: UserStore, user_id: str) -> None:
    odd = ["", "}", "{", "{}", "%", "%7D", "%257D", "}:user", "}:served", "\0", "\n", " ", "é", "e\u0301", "\ud800"]
    for odd_id in {text for part in odd for text in (user_id + part, part + user_id)}:
        assert await store.replace(odd_id, record_of("a"), 0)


async def until_served(store: UserStore, user_id: str, item_ids: tuple[str, ...]) -> None:
    """Poll until a served list is stored."""
    deadline = time.monotonic() + 5
    while (served := (await store.read_with_served(user_id))[1]) != item_ids:
        assert time.monotonic() < deadline, served


async def test_the_last_served_list_is_remembered(store: UserStore, user_id: str) -> None:
    store.note_served(user_id, ["old"], 0)
    store.note_served(user_id, ["c", "a", "b"], 0)
    await until_served(store, user_id, ("c", "a", "b"))


async def test_ping_answers(store: UserStore) -> None:
    await store.ping()


ARCHIVE = (ArchivedEvent(0, Event("old", 4.5, 1.7e9, 11)), ArchivedEvent(3, Event("\u00e9", 1.0, 1.6e9, 2**64 - 1)))


async def test_archived_events_are_stored_beside_the_record_in_order(store: UserStore, user_id: str) -> None:
    first = record_of("a").with_lineage(7)
    await store.replace(user_id, first, 0, ARCHIVE[:1])
    second = append(first, event("b"), 20).record
    await store.replace(user_id, second, first.revision, ARCHIVE[1:])
    store.note_served(user_id, ["x", "y"], second.revision)
    stored = await store.read_all(user_id)
    assert encode_record(stored.record) == encode_record(second)
    assert stored.archive == ARCHIVE
    assert stored.expires_in_s in (999, 1000)


async def test_a_refused_writer_archives_no_events(store: UserStore, user_id: str) -> None:
    await store.replace(user_id, record_of("a"), 0)
    assert not await store.replace(user_id, record_of("b"), 0, ARCHIVE)
    assert (await store.read_all(user_id)).archive == ()


async def test_a_new_user_has_no_stored_data(store: UserStore, user_id: str) -> None:
    assert (await store.read_all(user_id)).is_empty


async def test_a_rewritten_history_replaces_the_old_one(store: UserStore, user_id: str) -> None:
    record = record_of("a", "b")
    await store.replace(user_id, record, 0, ARCHIVE)
    store.note_served(user_id, ["x"], record.revision)
    shorter = record_of("a", "b", "a").with_lineage(9)
    assert await store.rewrite(user_id, shorter, ARCHIVE[1:], record.revision)
    stored = await store.read_all(user_id)
    assert encode_record(stored.record) == encode_record(shorter)
    assert (stored.archive, stored.served) == (ARCHIVE[1:], ())
    assert stored.expires_in_s in (999, 1000)


async def test_a_history_that_has_grown_is_not_rewritten(store: UserStore, user_id: str) -> None:
    record = record_of("a", "b")
    await store.replace(user_id, record, 0, ARCHIVE)
    assert not await store.rewrite(user_id, record_of("b"), (), record.revision - 1)
    assert not await store.rewrite(f"{user_id} unknown", record_of("b"), (), 1)
    assert (await store.read_all(user_id)).archive == ARCHIVE


async def test_an_empty_history_deletes_the_user(store: UserStore, user_id: str) -> None:
    record = record_of("a")
    await store.replace(user_id, record, 0, ARCHIVE)
    store.note_served(user_id, ["x"], record.revision)
    assert await store.rewrite(user_id, EMPTY, (), record.revision)
    assert (await store.read_all(user_id)).is_empty


async def test_erasing_deletes_everything_and_names_what_existed(store: UserStore, user_id: str) -> None:
    record = record_of("a")
    await store.replace(user_id, record, 0, ARCHIVE)
    store.note_served(user_id, ["x"], record.revision)
    await until_served(store, user_id, ("x",))
    assert await store.erase(user_id) == ("record", "older events", "served list")
    assert (await store.read_all(user_id)).is_empty
    assert await store.erase(user_id) == ()


async def test_a_writer_that_read_before_an_erasure_cannot_restore_anything(store: UserStore, user_id: str) -> None:
    """Even if the user is back with a new record of as many changes."""
    erased = record_of("secret").with_lineage(1)
    await store.replace(user_id, erased, 0)
    await store.erase(user_id)
    fresh = record_of("b").with_lineage(2)
    await store.replace(user_id, fresh, 0)
    assert not await store.replace(user_id, append(erased, event("c"), 20).record, erased.revision)
    assert not await store.replace(user_id, erased, erased.revision, is_cache=True)
    assert not await store.rewrite(user_id, erased, (), erased.revision)
    store.note_served(user_id, ["made from a secret"], erased.revision)
    stored = await store.read_all(user_id)
    assert (stored.record.events.item_ids, stored.served) == (("b",), ())


async def test_a_list_on_its_way_does_not_survive_an_erasure(store: UserStore, user_id: str) -> None:
    record = record_of("a").with_lineage(1)
    await store.replace(user_id, record, 0)
    await store.erase(user_id)
    store.note_served(user_id, ["x"], record.revision)
    await store.ping()
    assert (await store.read_all(user_id)).is_empty
