"""Cross-fitting: the worth of a model to new users, estimated on the users it learns from.

The training users are dealt into folds. A network is trained without each fold and judged by it, as the whole
model will be judged by new users (cross-fitting, e.g. Chernozhukov et al. 2018, arXiv:1608.00060, section 3; stacking,
Wolpert 1992). It multiplies the users of a calibration by about eight, for the price of more trainings, so
it is for data with few validation users, where trainings are short and chance is large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.errors import DataError
from model_store.evaluation.protocol import KShot, make_tasks
from model_store.learning.calibrate import HeldOutCohort
from model_store.meta.algorithms import begin
from model_store.meta.network import Network
from model_store.meta.outer import Progress, Validate, meta_train
from model_store.meta.statistics import count

FOLDS = 3


def cross_fit(
    dataset: Dataset,
    users: NDArray[np.int64],
    protocol: KShot,
    config: TrainingConfig,
    validate: Validate,
    *,
    on_fold: Callable[[str], None] = lambda _: None,
) -> Iterator[HeldOutCohort]:
    """Train a network without each fold of ``users``; yields the fold as a cohort held out of it.

    Args:
        dataset: with the users' events.
        users: int64, codes of the training users.
        protocol: of the folds' tasks; a fold without users that it applies to is left out.
        config: of every training; ``max_epochs`` bounds it.
        validate: chooses each network's best epoch.
        on_fold: gets the name of each fold before its training.
    """
    folds = np.array_split(np.random.default_rng(config.seed).permutation(users), FOLDS)
    for number, fold in enumerate(folds, start=1):
        on_fold(f"fold {number} of {FOLDS}")
        try:
            tasks = make_tasks(dataset, np.sort(fold), protocol)
        except DataError:
            continue
        training = dataset.events.select(np.setdiff1d(users, fold))
        statistics = count(training, dataset.n_items, dataset.feedback.liked_at_least)
        network = _trained(dataset, training, protocol, config, validate)
        yield HeldOutCohort(network, tasks, statistics)


def _trained(
    dataset: Dataset, training: Events, protocol: KShot, config: TrainingConfig, validate: Validate
) -> Network:
    outer = begin(dataset, training, config, protocol.shots)
    meta_train(outer, dataset, training, validate, config, progress=Progress())
    return outer.network
