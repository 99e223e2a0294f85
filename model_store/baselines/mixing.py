"""Headline metric of many mixes of one model with popularity in one pass.

Tuning needs the metric of β · model + log popularity at every β > 0. Few items can be among the best ``DEPTH`` of any
mix: an item is ruled out once ``DEPTH`` others are at least as popular *and* score at least as high. So the most
popular items serve as a reference set, and of the rest only those count that score above the set's own best. That
takes one pass over the catalogue instead of a selection for each β.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model_store.baselines.popularity import Popularity
from model_store.evaluation import metrics
from model_store.evaluation.protocol import Recommender, Tasks

DEPTH = 10  # of the headline metric
REFERENCE_ITEMS = 128


def mixed_headline(
    model: Recommender, popularity: Popularity, betas: tuple[float, ...], tasks: Tasks, shots: int
) -> NDArray[np.float64]:
    """Headline metric of β · model + log popularity, mean over users, float64 (n_betas,).

    The same as judging each mix by itself, except where rounding in float32 decides the order of two items.

    Args:
        model: the model to mix.
        popularity: the part that is added to it.
        betas: the β, all above 0.
        tasks: users and their queries.
        shots: size of the support.
    """
    log_popularity = popularity.log_popularity
    reference = np.argsort(-log_popularity, kind="stable")[:REFERENCE_ITEMS]
    weights = np.array(betas, dtype=np.float32)[:, None]
    hits = []
    for run in tasks.batches():
        scores = _masked(model.score(tasks.support(shots, run)), tasks.masked[run])
        for user_scores, rows, query in zip(scores, _contenders(scores, reference), tasks.queries[run], strict=True):
            mixed = weights * user_scores[rows] + log_popularity[rows]  # (n_betas, n_contenders)
            best = np.argsort(-mixed, axis=1, kind="stable")[:, :DEPTH]  # rows increase: ties by row
            hits.append(np.isin(rows, query)[best])
    n_relevant = np.array([len(query) for query in tasks.queries])
    return np.array([metrics.ndcg(np.stack(of_beta), n_relevant, DEPTH).mean() for of_beta in zip(*hits, strict=True)])


def _masked(scores: NDArray[np.float32], masked: list[NDArray[np.int32]]) -> NDArray[np.float32]:
    user = np.repeat(np.arange(len(masked)), list(map(len, masked)))
    scores = scores.copy()
    scores[user, np.concatenate(masked)] = -np.inf
    return scores


def _contenders(scores: NDArray[np.float32], reference: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Per user, increasing rows that may be among the best ``DEPTH`` of a mix."""
    depth = min(DEPTH, len(reference))
    threshold = np.partition(scores[:, reference], -depth, axis=1)[:, -depth]
    contends = scores > threshold[:, None]
    contends[:, reference] = True
    return map(np.flatnonzero, contends)
