"""Cross-fitting: every training user is asked once, about a network that never saw them."""

from __future__ import annotations

from pathlib import Path

import made_up
import numpy as np
import pytest

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.evaluation.protocol import KShot, make_tasks
from model_store.learning.calibrate import Witness
from model_store.learning.cross_fit import FOLDS, cross_fit

CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=1)
PROTOCOL = KShot((0, 1, 3), 6)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    source: Path = made_up.write_source(tmp_path_factory.mktemp("data"))
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def witnesses(dataset: Dataset) -> list[Witness]:
    return list(cross_fit(dataset, users_of(dataset), PROTOCOL, CONFIG, lambda _: 0.0, 240))


def users_of(dataset: Dataset) -> np.ndarray:
    return np.arange(0, dataset.events.n_users, 2)


def likes(dataset: Dataset, users: np.ndarray) -> int:
    chosen = dataset.events.select(users)
    return int((chosen.values >= dataset.feedback.liked_at_least).sum())


def test_every_user_is_asked_once(dataset: Dataset, witnesses: list[Witness]) -> None:
    asked = np.concatenate([witness.tasks.users for witness in witnesses])
    assert len(witnesses) == FOLDS
    assert sorted(asked) == sorted(make_tasks(dataset, users_of(dataset), PROTOCOL).users)


def test_nobody_is_asked_about_what_was_learned_from_them(dataset: Dataset, witnesses: list[Witness]) -> None:
    """The diagonal of the co-counts is the likes that a network and its memories were made from."""
    learned_from = [likes(dataset, users_of(dataset)) - witness.counts.together.trace() for witness in witnesses]
    folds = np.array_split(np.random.default_rng(CONFIG.seed).permutation(users_of(dataset)), FOLDS)
    assert learned_from == [likes(dataset, np.sort(fold)) for fold in folds]
    for witness, fold in zip(witnesses, folds, strict=True):
        assert set(witness.tasks.users) <= set(fold)


def test_a_fold_that_cannot_answer_is_left_out(dataset: Dataset) -> None:
    one_user = make_tasks(dataset, users_of(dataset), PROTOCOL).users[:1]
    assert list(cross_fit(dataset, one_user, KShot((0, 1000), 1001), CONFIG, lambda _: 0.0, 240)) == []
