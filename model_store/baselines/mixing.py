"""Judging many mixes of one model with the popularity prior at once.

Tuning asks for the headline metric of β · model + log popularity at every β > 0. Only few items can be among the
best of any mix: an item is out as soon as as many others as the list has places are at least as popular *and* score
at least as high. So the most popular items are a yardstick, and of the rest only those count that score above the
yardstick's own best. That takes one pass over the catalogue instead of a selection in it for each β.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model_store.baselines import Popularity
from model_store.evaluation import metrics
from model_store.evaluation.protocol import Recommender, Tasks

DEPTH = 10  # of the headline metric
YARDSTICK = 128


def mixed_headline(
    model: Recommender, popularity: Popularity, betas: tuple[float, ...], tasks: Tasks, shots: int
) -> NDArray[np.float64]:
    """Headline metric of β · model + log popularity, mean over users, float64 (n_betas,).

    The same as judging each mix by itself, but where the order of two items hangs on float32's rounding.

    Args:
        model: what to mix.
        popularity: what to mix it with.
        betas: the β, all above 0.
        tasks: users and their queries.
        shots: size of the support.
    """
    log_popularity = popularity.log_popularity
    yardstick = np.argsort(-log_popularity, kind="stable")[:YARDSTICK]
    weights = np.array(betas, dtype=np.float32)[:, None]
    hits = []
    for run in tasks.batches():
        scores = _masked(model.score(tasks.support(shots, run)), tasks.masked[run])
        for own, rows, query in zip(scores, _contenders(scores, yardstick), tasks.queries[run], strict=True):
            mixed = weights * own[rows] + log_popularity[rows]  # (n_betas, n_contenders)
            best = np.argsort(-mixed, axis=1, kind="stable")[:, :DEPTH]  # rows increase: ties by row
            hits.append(np.isin(rows, query)[best])
    n_relevant = np.array([len(query) for query in tasks.queries])
    return np.array([metrics.ndcg(np.stack(each), n_relevant, DEPTH).mean() for each in zip(*hits, strict=True)])


def _masked(scores: NDArray[np.float32], masked: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    user = np.repeat(np.arange(len(masked)), [len(each) for each in masked])
    scores = scores.copy()
    scores[user, np.concatenate(masked)] = -np.inf
    return scores


def _contenders(scores: NDArray[np.float32], yardstick: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows that may be among the best ``DEPTH`` of a mix, increasing, user by user."""
    depth = min(DEPTH, len(yardstick))
    bar = np.partition(scores[:, yardstick], -depth, axis=1)[:, -depth]
    contends = scores > bar[:, None]
    contends[:, yardstick] = True
    return map(np.flatnonzero, contends)
