"""Cross-fitting: what a model is worth to users it never saw, asked of the users it learns from.

The training users are dealt into folds; a network is trained without each fold and can be judged by it, as the whole
model will be by new users (cross-fitting, e.g. Chernozhukov et al. 2018, arXiv:1608.00060, section 3; stacking,
Wolpert 1992). It multiplies the users that a calibration can ask by about eight, for the price of more trainings, so
it is for data whose validation users are few: where trainings are short and chance is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.errors import DataError
from model_store.evaluation.protocol import KShot, make_tasks
from model_store.learning.calibrate import Witness
from model_store.meta.algorithms import begin
from model_store.meta.network import Network, count
from model_store.meta.outer import Progress, Validate, meta_train
from model_store.meta.parts.ease import CoCounts

FOLDS = 3


def cross_fit(
    dataset: Dataset,
    users: NDArray[np.int64],
    protocol: KShot,
    config: TrainingConfig,
    validate: Validate,
    max_linear_items: int,
    *,
    on_fold: Callable[[str], None] = lambda _: None,
) -> Iterator[Witness]:
    """Train a network without each fold of ``users``; yields it as a witness with the fold's tasks.

    Args:
        dataset: where their events stand.
        users: int64, codes of the training users.
        protocol: what the folds are asked; one that nobody of a fold can answer is left out.
        config: of every training; ``max_epochs`` bounds it.
        validate: chooses each network's best epoch.
        max_linear_items: items that co-occurrences are counted of.
        on_fold: told each fold before its training.
    """
    folds = np.array_split(np.random.default_rng(config.seed).permutation(users), FOLDS)
    for number, fold in enumerate(folds, start=1):
        on_fold(f"fold {number} of {FOLDS}")
        try:
            tasks = make_tasks(dataset, np.sort(fold), protocol)
        except DataError:
            continue
        training = dataset.events.select(np.setdiff1d(users, fold))
        liked = count(training, dataset.n_items, dataset.feedback.liked_at_least).liked
        network = _trained(dataset, training, protocol, config, validate)
        yield Witness(network, tasks, CoCounts.count(liked, max_linear_items))


def _trained(
    dataset: Dataset, training: Events, protocol: KShot, config: TrainingConfig, validate: Validate
) -> Network:
    outer = begin(dataset, training, config, protocol.shots)
    meta_train(outer, dataset, training, validate, config, progress=Progress())
    return outer.network
