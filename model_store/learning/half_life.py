"""The half-life of the popularity prior, chosen by users whose events were not counted.

The training users are split into folds. Each fold is served the popularity of the other folds, and the validation
users that of all, at every half-life (see ``meta.items.popularity``). Counting is cheap, so several times as many
users can be judged as are left for validation. Popularity without forgetting stays, unless a half-life is better by
more than three standard errors of the paired difference. One standard error, as elsewhere, is too little here: the
best of several is compared, and all users of a fold are served one list and share its luck. On made-up data without
any drift, two were exceeded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_store.data.schema import Dataset, Events
from model_store.errors import DataError
from model_store.evaluation import metrics
from model_store.evaluation.cohorts import Cohorts
from model_store.evaluation.protocol import Tasks, make_tasks
from model_store.meta.items.popularity import recent_likes

HALF_LIVES = (None, 10.0, 20.0, 50.0, 100.0)
FOLDS = 3
# Of very many users, this many per fold are enough to choose by.
MAX_USERS = 2000
DEPTH = 10  # of the headline metric
STANDARD_ERRORS = 3.0


def choose_half_life(cohorts: Cohorts) -> float | None:
    """The half-life, in events, whose popularity is clearly better than plain popularity at k = 0.

    Returns:
        None if no half-life is clearly better, or if the events have no order.
    """
    if not cohorts.dataset.has_order:
        return None
    scores = np.concatenate([_judge(cohorts.dataset, counted, tasks) for counted, tasks in folds(cohorts)], axis=1)
    best = int(scores.mean(1).argmax())
    gain = scores[best] - scores[HALF_LIVES.index(None)]
    clear = gain.mean() > STANDARD_ERRORS * gain.std() / np.sqrt(len(gain))
    return HALF_LIVES[best] if clear else None


def folds(cohorts: Cohorts) -> Iterator[tuple[Events, Tasks]]:
    """Pairs of events to count and tasks of other users to judge the counts on.

    The first pair is the training and the validation users; the others are folds of the training users. A fold without
    a user that the protocol applies to is left out.
    """
    training = cohorts.training
    yield training, cohorts.validation
    users = np.random.default_rng(cohorts.seed).permutation(training.n_users)
    for fold in np.array_split(users, FOLDS):
        try:
            tasks = make_tasks(replace(cohorts.dataset, events=training), fold[:MAX_USERS], cohorts.protocol)
        except DataError:
            continue
        yield training.select(np.setdiff1d(users, fold)), tasks


def _judge(dataset: Dataset, counted: Events, tasks: Tasks) -> NDArray[np.float64]:
    """Headline metric of every user under every half-life, (n_half_lives, n_users)."""
    liked_at_least = dataset.feedback.liked_at_least
    likes = (recent_likes(counted, dataset.n_items, liked_at_least, half_life) for half_life in HALF_LIVES)
    return np.stack([_without_shots(item_likes, tasks) for item_likes in likes])


def _without_shots(likes: NDArray[np.float64], tasks: Tasks) -> NDArray[np.float64]:
    """Headline metric of one list for all users, without each user's masked items, (n_users,)."""
    first = np.argsort(-likes, kind="stable")[: DEPTH + tasks.protocol.query_after]
    lists = [first[~np.isin(first, masked)][:DEPTH] for masked in tasks.masked]
    hits = np.stack([np.isin(rows, query) for rows, query in zip(lists, tasks.queries, strict=True)])
    return metrics.ndcg(hits, np.array([len(query) for query in tasks.queries]), DEPTH)
