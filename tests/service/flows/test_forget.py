"""The forget flow over a store in memory: races with other writers."""

from __future__ import annotations

import asyncio

import pytest
from memory_store import MemoryStore

from service.catalogue.snapshot import Snapshot
from service.core.history import append
from service.core.values import Archive, Event, Events, UserRecord
from service.errors import NotStored, UserBusy
from service.flows.feedback import FeedbackFlow, ReceivedEvent
from service.flows.forget import ForgetFlow

pytestmark = pytest.mark.anyio


class Interrupted(MemoryStore):
    """A store in which another event arrives just before the first rewrite."""

    interrupted = False

    async def rewrite(self, user_id: str, record: UserRecord, archive: Archive, expected_revision: int) -> bool:
        if not self.interrupted:
            self.interrupted = True
            other = Events.of([Event("g2-2", 5.0, 1.7e9, 1)])
            self.records[user_id] = append(self.records[user_id], other, 10).record
        return await super().rewrite(user_id, record, archive, expected_revision)


async def like(store: MemoryStore, snapshot: Snapshot, *item_ids: str) -> None:
    flow = FeedbackFlow(store, clock=lambda: 1.7e9, deadline_s=10)
    events = [ReceivedEvent(item_id, 5.0, None, item_id, None) for item_id in item_ids]
    await flow.accept("ann", events, None, snapshot)


async def test_an_event_that_arrives_meanwhile_survives(snapshot: Snapshot) -> None:
    store = Interrupted()
    await like(store, snapshot, "g1-1", "g3-3")
    record = await ForgetFlow(store, deadline_s=10).unlearn("ann", "g1-1", snapshot)
    assert record.events.item_ids == ("g3-3", "g2-2")
    assert store.records["ann"] is record


async def test_a_forgotten_event_begins_a_new_lineage(snapshot: Snapshot) -> None:
    store = MemoryStore()
    await like(store, snapshot, "g1-1", "g3-3")
    before = store.records["ann"].revision
    after = await ForgetFlow(store, deadline_s=10).unlearn("ann", "g1-1", snapshot)
    assert before >> 32 != after.revision >> 32


async def test_an_unknown_event_or_user_is_named(snapshot: Snapshot) -> None:
    store = MemoryStore()
    await like(store, snapshot, "g1-1")
    flow = ForgetFlow(store, deadline_s=10)
    for user_id in ("ann", "bob"):
        with pytest.raises(NotStored, match="event_id: no such event of this user"):
            await flow.unlearn(user_id, "unknown", snapshot)
    with pytest.raises(NotStored, match="user_id: no data of this user"):
        await flow.show("bob")


async def test_a_deadline_ends_a_lost_race(snapshot: Snapshot) -> None:
    class Contended(MemoryStore):
        async def rewrite(self, *_: object, **__: object) -> bool:
            await asyncio.sleep(0)
            return False

    store = Contended()
    await like(store, snapshot, "g1-1")
    with pytest.raises(UserBusy, match=r"not forgotten within 0\.05 s"):
        await ForgetFlow(store, deadline_s=0.05).unlearn("ann", "g1-1", snapshot)
