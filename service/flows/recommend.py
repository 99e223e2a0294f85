"""GET /recommend: read the user's state, score the catalogue, answer with a list. Cold start is only k = 0."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import structlog
from numpy.typing import NDArray

from model_store.bundle import UNKNOWN_ROW
from service import telemetry
from service.core.ports import Model, UserStore
from service.core.support import support_of
from service.core.values import EMPTY, UserRecord, UserState
from service.errors import RecordDamaged, StoreUnavailable

log = structlog.get_logger()

NOTHING: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

Source = Literal["cold", "adapted", "degraded"]
# Looked up once, because the look-up of a label costs more than counting.
LISTS = {source: telemetry.recommendations.labels(source) for source in get_args(Source)}


class ServedList(NamedTuple):
    """A recommended list: rows of the model's catalogue and their scores, best first."""

    model: Model
    source: Source
    record: UserRecord
    rows: list[int]
    scores: list[float]


async def recommend(user_id: str, k: int, *, include_seen: bool, store: UserStore, model: Model) -> ServedList:
    """The best ``k`` items for a user.

    If the store is unreachable, the user gets the list of a user without events, marked as degraded: an impersonal
    answer beats an error. Items with feedback are excluded unless ``include_seen``.
    """
    try:
        record, degraded = await store.read(user_id), False
    except (StoreUnavailable, RecordDamaged) as exc:
        telemetry.store_errors.inc()
        log.warning("degraded answer", reason=str(exc))
        record, degraded = EMPTY, True

    events = record.events
    rows = model.catalogue.rows(events.item_ids)
    support = support_of(events, rows, model.manifest.feedback.scale, model.manifest.limits.max_support)
    state = None if degraded else _current_state(record, model)
    if state is None:
        state = await model.adapt(support, record.attributes)
        await _keep_state(store, user_id, record, UserState(model.version, state))
    excluded = NOTHING if include_seen else _seen_rows(record, rows, model)
    best, scores = await model.rank(state, support, excluded, k)

    source: Source = "degraded" if degraded else "cold" if record.is_cold else "adapted"
    LISTS[source].inc()
    if not degraded:
        store.note_served(user_id, model.catalogue.ids.at(best), record.revision)
    return ServedList(model, source, record, best, scores)


def _current_state(record: UserRecord, model: Model) -> NDArray[np.float32] | None:
    """The cached state, if this bundle made it; other bundles have other coordinates."""
    if record.state is not None and record.state.bundle == model.version:
        telemetry.store_hits.inc()
        return record.state.vector
    telemetry.store_misses.inc()
    return None


async def _keep_state(store: UserStore, user_id: str, record: UserRecord, state: UserState) -> None:
    """Cache a state that was derived again after a swap of bundles; a concurrent write wins."""
    if not record.revision:
        return
    try:
        await store.replace(user_id, record.with_state(state), expected_revision=record.revision, is_cache=True)
    except StoreUnavailable:
        telemetry.store_errors.inc()  # the list is right anyway; the next request derives the state again


def _seen_rows(record: UserRecord, rows: NDArray[np.int64], model: Model) -> NDArray[np.int64]:
    """Rows of all items with feedback, including items older than the support."""
    seen = np.concatenate([rows, model.catalogue.rows(record.seen)]) if record.seen else rows
    return seen[seen != UNKNOWN_ROW] if UNKNOWN_ROW in seen.tolist() else seen
