"""Adapting a record to its events and attributes."""

from __future__ import annotations

from service.catalogue.snapshot import Snapshot
from service.core.values import UserRecord, UserState


async def adapt_record(record: UserRecord, snapshot: Snapshot) -> UserRecord:
    """The record with the state that the snapshot's model adapts to its events and attributes."""
    support = snapshot.locate(record.events).support
    return record.with_state(UserState(snapshot.version, await snapshot.adapt(support, record.attributes)))
