"""Biases of a list: what is added to the model's scores before the best rows are selected."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import NO_BIASES, UNKNOWN_ROW, Biases, exclusion
from service.catalogue.snapshot import Snapshot
from service.ranking.request import AdaptedUser, ListRequest


def biases_of(request: ListRequest, user: AdaptedUser, snapshot: Snapshot) -> Biases:
    """Items with feedback are excluded unless the request includes them."""
    return NO_BIASES if request.include_seen else exclusion(_seen_rows(user, snapshot))


def _seen_rows(user: AdaptedUser, snapshot: Snapshot) -> NDArray[np.int64]:
    """Rows of all items with feedback, including items older than the support."""
    rows, seen = user.events.rows, user.record.seen
    if seen:
        rows = np.concatenate([rows, snapshot.rows(seen)])
    return rows[rows != UNKNOWN_ROW] if UNKNOWN_ROW in rows.tolist() else rows
