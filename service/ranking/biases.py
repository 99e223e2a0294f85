"""Biases of a list: what is added to the model's scores before the best rows are selected."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import UNKNOWN_ROW
from service.catalogue.snapshot import Snapshot
from service.core.ports import EXCLUDED, NO_BIASES, Biases
from service.ranking.request import AdaptedUser, ListRequest


def biases_of(request: ListRequest, user: AdaptedUser, snapshot: Snapshot) -> Biases:
    """Items with feedback are excluded unless the request includes them."""
    return NO_BIASES if request.include_seen else exclusion(_seen_rows(user, snapshot))


def exclusion(rows: NDArray[np.int64]) -> Biases:
    """Exclude ``rows`` int64 (A,)."""
    return Biases(rows, _excluded(len(rows)))


def _seen_rows(user: AdaptedUser, snapshot: Snapshot) -> NDArray[np.int64]:
    """Rows of all items with feedback, including items older than the support."""
    rows, seen = user.events.rows, user.record.seen
    if seen:
        rows = np.concatenate([rows, snapshot.rows(seen)])
    return rows[rows != UNKNOWN_ROW] if UNKNOWN_ROW in rows.tolist() else rows


@lru_cache(1024)
def _excluded(count: int) -> NDArray[np.float32]:
    """Biases that exclude, float32 (count,); cached, since every request needs them."""
    values = np.full(count, EXCLUDED)
    values.flags.writeable = False
    return values
