"""Cross-fitting: every training user is judged once, with a network that never saw them."""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
import pytest

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.evaluation.protocol import KShot, make_tasks
from model_store.learning.calibrate import HeldOutCohort
from model_store.learning.cross_fit import FOLDS, cross_fit

CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=1)
PROTOCOL = KShot((0, 1, 3), 6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    source: Path = made_up.write_source(tmp_path_factory.mktemp("data"))
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def cohorts(dataset: Dataset) -> list[HeldOutCohort]:
    return list(cross_fit(dataset, users_of(dataset), PROTOCOL, CONFIG, lambda _: 0.0))


def users_of(dataset: Dataset) -> np.ndarray:
    return np.arange(0, dataset.events.n_users, 2)


def likes(dataset: Dataset, users: np.ndarray) -> int:
    events = dataset.events.select(users)
    return int((events.values >= dataset.feedback.liked_at_least).sum())


def test_every_user_is_judged_once(dataset: Dataset, cohorts: list[HeldOutCohort]) -> None:
    users = np.concatenate([cohort.tasks.users for cohort in cohorts])
    assert len(cohorts) == FOLDS
    assert sorted(users) == sorted(make_tasks(dataset, users_of(dataset), PROTOCOL).users)


def test_no_user_is_judged_with_counts_of_their_likes(dataset: Dataset, cohorts: list[HeldOutCohort]) -> None:
    held_out = [likes(dataset, users_of(dataset)) - cohort.statistics.counts.sum() for cohort in cohorts]
    folds = np.array_split(np.random.default_rng(CONFIG.seed).permutation(users_of(dataset)), FOLDS)
    assert held_out == [likes(dataset, np.sort(fold)) for fold in folds]
    for cohort, fold in zip(cohorts, folds, strict=True):
        assert set(cohort.tasks.users) <= set(fold)


def test_a_fold_that_the_protocol_does_not_apply_to_is_skipped(dataset: Dataset) -> None:
    one_user = make_tasks(dataset, users_of(dataset), PROTOCOL).users[:1]
    assert list(cross_fit(dataset, one_user, KShot((0, 1000), 1001), CONFIG, lambda _: 0.0)) == []
