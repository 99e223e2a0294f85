"""GET /recommend: read the user's state, score the catalogue, answer with a list. Cold start is only k = 0."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import structlog
from numpy.typing import NDArray

from service import telemetry
from service.catalogue.snapshot import Snapshot
from service.core.ports import UserStore
from service.core.values import EMPTY, UserRecord, UserState
from service.errors import RecordDamaged, StoreUnavailable
from service.ranking.pipeline import make_slate
from service.ranking.request import AdaptedUser, ListRequest
from service.ranking.slate import Slate

log = structlog.get_logger()

Source = Literal["cold", "adapted", "degraded"]
# Looked up once, because the look-up of a label costs more than counting.
LISTS = {source: telemetry.recommendations.labels(source) for source in get_args(Source)}


class ServedList(NamedTuple):
    """A recommended list: a slate over the snapshot's catalogue, made from ``record``."""

    snapshot: Snapshot
    source: Source
    record: UserRecord
    slate: Slate


async def recommend(request: ListRequest, *, store: UserStore, snapshot: Snapshot) -> ServedList:
    """The best items for a user.

    If the store is unreachable, the user gets the list of a user without events, marked as degraded: an impersonal
    answer beats an error.
    """
    try:
        record, degraded = await store.read(request.user_id), False
    except (StoreUnavailable, RecordDamaged) as exc:
        telemetry.store_errors.inc()
        log.warning("degraded answer", reason=str(exc))
        record, degraded = EMPTY, True

    events = snapshot.locate(record.events)
    state = None if degraded else _cached_state(record, snapshot)
    if state is None:
        state = await snapshot.adapt(events.support, record.attributes)
        await _cache_state(store, request.user_id, record, UserState(snapshot.version, state))
    slate = await make_slate(request, AdaptedUser(record, events, state), snapshot)

    source: Source = "degraded" if degraded else "cold" if record.is_cold else "adapted"
    LISTS[source].inc()
    if not degraded:
        store.note_served(request.user_id, snapshot.item_ids(slate.rows), record.revision)
    return ServedList(snapshot, source, record, slate)


def _cached_state(record: UserRecord, snapshot: Snapshot) -> NDArray[np.float32] | None:
    """The cached state, if this bundle made it; other bundles have other coordinates."""
    if record.state is not None and record.state.bundle == snapshot.version:
        telemetry.store_hits.inc()
        return record.state.vector
    telemetry.store_misses.inc()
    return None


async def _cache_state(store: UserStore, user_id: str, record: UserRecord, state: UserState) -> None:
    """Cache a state that was derived again after a swap of bundles; a concurrent write wins."""
    if not record.revision:
        return
    try:
        await store.replace(user_id, record.with_state(state), expected_revision=record.revision, is_cache=True)
    except StoreUnavailable:
        telemetry.store_errors.inc()  # the list is right anyway; the next request derives the state again
