"""Metrics of predicted ratings, per user.

``values``: ratings of the users; ``predicted`` and ``scores``: of the model; all (n_users, n_query). All metrics return
float64 (n_users,).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

PerUser = NDArray[np.float64]


def mean_absolute_error(values: ArrayLike, predicted: ArrayLike) -> PerUser:
    """1/n Σ |value − predicted|, in the unit of the ratings."""
    return np.asarray(np.abs(np.subtract(values, predicted)).mean(axis=1), dtype=np.float64)


def graded_ndcg(values: ArrayLike, scores: ArrayLike, at: int) -> PerUser:
    """NDCG over a user's query items, with gain 2^value − 1 (MeLU, Lee et al. 2019, section 4.2).

    DCG = Σ_{r ≤ at} (2^value_r − 1) / log2(r + 1) of the items in the order of their scores, divided by that of the
    best order; 1 where every order is best. Items of equal score keep their order.
    """
    gains = np.exp2(np.asarray(values, dtype=np.float64)) - 1
    by_score = np.argsort(-np.asarray(scores, dtype=np.float64), axis=1, kind="stable")
    gained = _dcg(np.take_along_axis(gains, by_score, axis=1), at)
    ideal = _dcg(-np.sort(-gains, axis=1), at)
    return np.divide(gained, ideal, out=np.ones_like(gained), where=ideal > 0)


def _dcg(gains: NDArray[np.float64], at: int) -> PerUser:
    top = gains[:, :at]
    return np.asarray(top @ (1 / np.log2(np.arange(2, top.shape[1] + 2))))
