"""The recommend flow over a store in memory."""

from __future__ import annotations

import pytest
from memory_store import MemoryStore

from service.catalogue.snapshot import Snapshot
from service.core.values import UserRecord
from service.errors import StoreUnavailable
from service.flows.feedback import FeedbackFlow, ReceivedEvent
from service.flows.recommend import recommend
from service.ranking.request import ListRequest

pytestmark = pytest.mark.anyio


class Unreachable(MemoryStore):
    async def read(self, user_id: str) -> UserRecord:
        raise StoreUnavailable(f"no answer about {user_id}")


async def like(store: MemoryStore, snapshot: Snapshot, item_id: str) -> None:
    flow = FeedbackFlow(store, clock=lambda: 1.7e9, deadline_s=10)
    await flow.accept("ann", [ReceivedEvent(item_id, 5.0, None, "first", None)], None, snapshot)


async def test_a_served_list_is_made_of_its_record_and_remembered(snapshot: Snapshot) -> None:
    store = MemoryStore()
    await like(store, snapshot, "g3-1")
    served = await recommend(ListRequest("ann", 5), store=store, snapshot=snapshot)
    assert (served.source, served.record.version, served.snapshot) == ("adapted", 1, snapshot)
    assert store.served["ann"] == tuple(snapshot.item_ids(served.slate.rows))


async def test_a_state_of_another_bundle_is_derived_again_and_cached(snapshot: Snapshot) -> None:
    store = MemoryStore()
    await like(store, snapshot, "g3-1")
    expected = await recommend(ListRequest("ann", 5), store=store, snapshot=snapshot)
    record = store.records["ann"]
    assert record.state is not None
    store.records["ann"] = record.with_state(record.state.__class__("another bundle", -record.state.vector))
    again = await recommend(ListRequest("ann", 5), store=store, snapshot=snapshot)
    assert again.slate == expected.slate
    assert store.records["ann"].state is not None
    assert store.records["ann"].state.bundle == snapshot.version


async def test_without_a_store_the_list_is_the_cold_one_and_not_remembered(snapshot: Snapshot) -> None:
    store = Unreachable()
    degraded = await recommend(ListRequest("ann", 5), store=store, snapshot=snapshot)
    cold = await recommend(ListRequest("ann", 5), store=MemoryStore(), snapshot=snapshot)
    assert (degraded.source, cold.source) == ("degraded", "cold")
    assert degraded.slate == cold.slate
    assert store.served == {}
