"""Ranking metrics, per user.

``hits``: bool (n_users, depth), whether each position of a user's list, best first, holds an item of the query.
``n_relevant``: int (n_users,), size of the query, at least 1. All metrics return float64 (n_users,) in 0 … 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
PerUser = NDArray[np.float64]


def ndcg(hits: Hits, n_relevant: Counts, at: int) -> PerUser:
    """Normalised discounted cumulative gain with binary gain (Järvelin & Kekäläinen 2002).

    DCG = Σ_{r ≤ at} hit_r / log2(r + 1), divided by the DCG of a list that starts with min(at, n_relevant) hits.
    """
    discount = 1 / np.log2(np.arange(2, at + 2))
    ideal = np.cumsum(discount)[np.minimum(n_relevant, at) - 1]
    return np.asarray((hits[:, :at] @ discount[: hits[:, :at].shape[1]]) / ideal)


def recall(hits: Hits, n_relevant: Counts, at: int) -> PerUser:
    """Hits in the first ``at`` positions, divided by their maximum min(at, n_relevant)."""
    return np.asarray(hits[:, :at].sum(1) / np.minimum(n_relevant, at))


def hit_rate(hits: Hits, at: int) -> PerUser:
    """1 for users with a hit in the first ``at`` positions, else 0."""
    return np.asarray(hits[:, :at].any(1), dtype=np.float64)


def reciprocal_rank(hits: Hits) -> PerUser:
    """1 / rank of the first hit within the list's depth, 0 without one (MRR is its mean; Voorhees 1999)."""
    return np.where(hits.any(1), 1 / (hits.argmax(1) + 1), 0.0)


def coverage(top: NDArray[np.int64], n_items: int, at: int) -> float:
    """Share of the catalogue in the first ``at`` positions of at least one list (aggregate diversity)."""
    return len(np.unique(top[:, :at])) / n_items


def bootstrap_interval(per_user: PerUser, *, seed: int = 0, samples: int = 1000) -> tuple[float, float]:
    """95% percentile interval of the mean over users (Efron & Tibshirani 1993, ch. 13)."""
    draws = np.random.default_rng(seed).integers(0, len(per_user), (samples, len(per_user)))
    low, high = np.percentile(per_user[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)
