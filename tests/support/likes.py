"""Likes, supports and tasks small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from model_store.bundle import Support, UserSupport
from model_store.data.schema import Events
from model_store.evaluation.protocol import KShot, Tasks

LIKED, DISLIKED = 5.0, 1.0
LIKED_AT_LEAST = 4.0


def liked_of(*users: list[int], n_items: int) -> sp.csr_array:
    dense = np.zeros((len(users), n_items), dtype=np.float32)
    for row, items in enumerate(users):
        dense[row, items] = 1
    return sp.csr_array(dense)


def support_of(*users: list[tuple[int, float]]) -> Support:
    """Supports of (item, value) events."""
    columns = (tuple(zip(*events, strict=True)) or ((), ()) for events in users)
    return Support.of(
        [
            UserSupport.encode(np.array(items, np.int64), np.array(values, np.float32), np.zeros(len(items)))
            for items, values in columns
        ]
    )


def tasks_of(first_and_query: list[tuple[int, int]], n_items: int) -> Tasks:
    """Users with two liked events: one for the support, one for the query."""
    items = np.array(first_and_query, dtype=np.int32)
    n_users = len(items)
    values = np.full(items.size, LIKED, dtype=np.float32)
    events = Events(np.arange(0, items.size + 1, 2), items.ravel(), values, np.zeros(items.size))
    queries, masked = [row[1:] for row in items], [row[:1] for row in items]
    return Tasks(KShot((0, 1), min_events=2), events, np.arange(n_users), queries, masked, n_items)


def random_liked(n_users: int = 120, n_items: int = 14) -> np.ndarray:
    """Likes with structure: users prefer one half of the catalogue."""
    rng = np.random.default_rng(0)
    lean = rng.random((n_users, 1)) < 0.5
    half = np.arange(n_items) < n_items // 2
    return (rng.random((n_users, n_items)) < np.where(lean == half, 0.5, 0.1)).astype(np.float32)
