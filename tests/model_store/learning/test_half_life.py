"""The prior forgets only where the order of events clearly supports it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.data.schema import Dataset, Events
from model_store.data.sources import load
from model_store.data.split import UserSplit
from model_store.evaluation.cohorts import Cohorts
from model_store.evaluation.protocol import KShot
from model_store.learning.half_life import choose_half_life, folds

N_USERS, N_ITEMS = 120, 60


@pytest.fixture(scope="module")
def made_up_dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def events_of(rows: list[list[int]]) -> Events:
    items = np.concatenate(rows).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Events(indptr, items, np.full(len(items), 5, np.float32), np.zeros(len(items)))


def moving_on(rng: np.random.Generator) -> list[list[int]]:
    """Every user likes 30 of the first 35 items, and then 15 of the other 25."""
    return [[*rng.permutation(35)[:30], *35 + rng.permutation(25)[:15]] for _ in range(N_USERS)]


def at_rest(rng: np.random.Generator) -> list[list[int]]:
    """No item is popular, early or late: the best half-life is the best by chance."""
    return [list(rng.permutation(N_ITEMS)[:45]) for _ in range(N_USERS)]


def cohorts_of(dataset: Dataset, rows: list[list[int]], *, has_order: bool = True) -> Cohorts:
    """100 training and 20 validation users with the events of ``rows``."""
    replaced = replace(dataset, events=events_of(rows), item_ids=[""] * N_ITEMS, has_order=has_order)
    split = UserSplit(np.arange(100), np.arange(100, N_USERS), np.zeros(0, np.int64))
    return Cohorts(replaced, split, KShot((0, 1, 30), 31), seed=0)


def test_the_prior_forgets_if_tastes_drift(made_up_dataset: Dataset, rng: np.random.Generator) -> None:
    assert choose_half_life(cohorts_of(made_up_dataset, moving_on(rng))) in {10.0, 20.0}


@pytest.mark.parametrize("seed", range(12))
def test_popularity_stays_unless_a_half_life_is_clearly_better(made_up_dataset: Dataset, seed: int) -> None:
    assert choose_half_life(cohorts_of(made_up_dataset, at_rest(np.random.default_rng(seed)))) is None


def test_no_user_is_judged_by_counts_of_own_events(made_up_dataset: Dataset, rng: np.random.Generator) -> None:
    cohorts = cohorts_of(made_up_dataset, at_rest(rng))
    pairs = list(folds(cohorts))
    assert [(counted.n_users, len(tasks.users)) for counted, tasks in pairs] == [
        (100, 20),
        (66, 34),
        (67, 33),
        (67, 33),
    ]
    for counted, tasks in pairs:
        counted_users = {counted.items[counted.user(user)].tobytes() for user in range(counted.n_users)}
        judged_users = {tasks.events.items[tasks.events.user(int(user))].tobytes() for user in tasks.users}
        assert not counted_users & judged_users


def test_a_random_order_has_no_half_life(made_up_dataset: Dataset, rng: np.random.Generator) -> None:
    assert choose_half_life(cohorts_of(made_up_dataset, moving_on(rng), has_order=False)) is None
