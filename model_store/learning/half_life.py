"""How much the popularity prior forgets, chosen by users that it was not counted on.

The training users are dealt into folds; each is served the popularity of the others, and the validation users that of
all, at every half-life (see ``meta.prior``). Counting is cheap, so several times as many users can be asked as are
left for validation. Popularity that forgets nothing stays, unless another is better by more than three standard
errors of the paired difference. One, as elsewhere, is too little here: the best of several is compared, and all users
of a fold are served one list, whose luck they share; on made-up data without any drift two were exceeded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model_store.data.schema import Dataset, Events
from model_store.errors import DataError
from model_store.evaluation import metrics
from model_store.evaluation.protocol import Tasks, make_tasks
from model_store.meta.items.popularity import recent_likes

HALF_LIVES = (None, 10.0, 20.0, 50.0, 100.0)
FOLDS = 3
# Of very many users so many of each fold are enough to choose by.
MAX_ASKED = 2000
DEPTH = 10  # of the headline metric
STANDARD_ERRORS = 3.0


def choose_half_life(dataset: Dataset, training: Events, validation: Tasks, seed: int) -> float | None:
    """The half-life, in events, whose popularity is clearly better than popularity itself at k = 0; None without one.

    Args:
        dataset: for its scale of values, and whether its events have an order at all.
        training: events of the training users only.
        validation: tasks of the validation users.
        seed: of the folds.
    """
    if not dataset.has_order:
        return None
    asked = [(training, validation), *_folds(dataset, training, validation, seed)]
    scores = np.concatenate([_judge(dataset, counted, tasks) for counted, tasks in asked], axis=1)
    best = int(scores.mean(1).argmax())
    gain = scores[best] - scores[HALF_LIVES.index(None)]
    clear = gain.mean() > STANDARD_ERRORS * gain.std() / np.sqrt(len(gain))
    return HALF_LIVES[best] if clear else None


def _folds(dataset: Dataset, training: Events, validation: Tasks, seed: int) -> Iterator[tuple[Events, Tasks]]:
    """What to count, and whom to ask: of each fold those who can answer."""
    users = np.random.default_rng(seed).permutation(training.n_users)
    for fold in np.array_split(users, FOLDS):
        try:
            tasks = make_tasks(replace(dataset, events=training), fold[:MAX_ASKED], validation.protocol)
        except DataError:
            continue
        yield training.select(np.setdiff1d(users, fold)), tasks


def _judge(dataset: Dataset, counted: Events, tasks: Tasks) -> NDArray[np.float64]:
    """Headline metric of every user under every half-life, (n_half_lives, n_users)."""
    liked_at_least = dataset.feedback.liked_at_least
    return np.stack(
        [_at_no_shots(recent_likes(counted, dataset.n_items, liked_at_least, each), tasks) for each in HALF_LIVES]
    )


def _at_no_shots(likes: NDArray[np.float64], tasks: Tasks) -> NDArray[np.float64]:
    """Headline metric of one list for all, each user's masked items left out, (n_users,)."""
    first = np.argsort(-likes, kind="stable")[: DEPTH + tasks.protocol.query_after]
    lists = [first[~np.isin(first, masked)][:DEPTH] for masked in tasks.masked]
    hits = np.stack([np.isin(row, query) for row, query in zip(lists, tasks.queries, strict=True)])
    return metrics.ndcg(hits, np.array([len(query) for query in tasks.queries]), DEPTH)
