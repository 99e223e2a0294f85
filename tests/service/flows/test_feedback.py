"""The feedback flow over a store in memory: races with other writers, and the time limit."""

from __future__ import annotations

import asyncio

import pytest
from memory_store import MemoryStore

from service.catalogue.snapshot import Snapshot
from service.core.values import Archive, UserRecord
from service.errors import InvalidFeedback, UserBusy
from service.flows.feedback import FeedbackFlow, ReceivedEvent

pytestmark = pytest.mark.anyio


class Contended(MemoryStore):
    """A store in which other writers win the first races."""

    def __init__(self, lost_races: int) -> None:
        super().__init__()
        self.lost_races = lost_races

    async def replace(
        self,
        user_id: str,
        record: UserRecord,
        expected_revision: int,
        archived: Archive = (),
        *,
        is_cache: bool = False,
    ) -> bool:
        await asyncio.sleep(0)
        self.lost_races -= 1
        if self.lost_races >= 0:
            return False
        return await super().replace(user_id, record, expected_revision, archived, is_cache=is_cache)


def like(item_id: str, event_id: str = "first") -> ReceivedEvent:
    return ReceivedEvent(item_id, 5.0, None, event_id, None)


async def test_a_writer_that_loses_a_race_starts_over(snapshot: Snapshot) -> None:
    store = Contended(lost_races=3)
    flow = FeedbackFlow(store, clock=lambda: 1.7e9, deadline_s=10)
    receipt = await flow.accept("ann", [like("g1-1")], None, snapshot)
    assert (receipt.accepted, receipt.record.version) == (1, 1)
    assert store.records["ann"].events.item_ids == ("g1-1",)


async def test_a_writer_that_keeps_losing_is_refused_at_the_deadline(snapshot: Snapshot) -> None:
    flow = FeedbackFlow(Contended(lost_races=10**9), clock=lambda: 1.7e9, deadline_s=0.05)
    with pytest.raises(UserBusy, match=r"not stored within 0\.05 s.*resend"):
        await flow.accept("ann", [like("g1-1")], None, snapshot)


async def test_concurrent_feedback_of_one_process_waits_its_turn_instead_of_racing(snapshot: Snapshot) -> None:
    store = Contended(lost_races=0)
    flow = FeedbackFlow(store, clock=lambda: 1.7e9, deadline_s=10)
    await asyncio.gather(*(flow.accept("ann", [like("g1-1", str(n))], None, snapshot) for n in range(5)))
    assert store.lost_races == -5  # no write was refused
    assert store.records["ann"].version == 5


async def test_feedback_without_an_item_of_the_catalogue_is_refused_with_its_version(snapshot: Snapshot) -> None:
    flow = FeedbackFlow(MemoryStore(), clock=lambda: 1.7e9, deadline_s=10)
    with pytest.raises(
        InvalidFeedback, match=rf"events\[0\]\.item_id: 'gone', expected an item of bundle {snapshot.version}"
    ):
        await flow.accept("ann", [like("gone")], None, snapshot)
