"""Counts over the training users, from which the parts start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.data.schema import Events


@dataclass(frozen=True)
class Statistics:
    """Likes of the training users.

    Attributes:
        liked: (n_users, n_items), ones at the items that a user liked.
        counts: float64 (n_items,), users that liked the item.
    """

    liked: sp.csr_array
    counts: NDArray[np.float64]


def count(events: Events, n_items: int, liked_at_least: float) -> Statistics:
    """Count the likes in ``events``, of training users only."""
    liked = events.values >= liked_at_least
    users = np.repeat(np.arange(events.n_users), events.lengths())
    ones = np.ones(int(liked.sum()), dtype=np.float32)
    matrix = sp.csr_array((ones, (users[liked], events.items[liked])), shape=(events.n_users, n_items))
    return Statistics(matrix, np.asarray(matrix.sum(0), dtype=np.float64).ravel())
