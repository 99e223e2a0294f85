"""The prior forgets only where the order of events clearly supports it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.data.sources import load
from model_store.data.split import UserSplit
from model_store.evaluation.cohorts import Cohorts
from model_store.evaluation.protocol import KShot
from model_store.learning.half_life import choose_half_life, folds
from model_store.meta.items.popularity import log_popularity, recent_likes
from model_store.meta.network import build

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


def test_a_like_counts_half_after_as_many_events_of_its_user_as_the_half_life() -> None:
    events = events_of([[0, 1, 2], [3]])
    assert recent_likes(events, 5, 4.0, None).tolist() == [1, 1, 1, 1, 0]
    # Weights 1/4, 1/2, 1 and 1, scaled to four likes.
    np.testing.assert_allclose(recent_likes(events, 5, 4.0, 1.0), np.array([1, 2, 4, 4, 0]) / 11 * 4)


def test_a_disliked_item_counts_nothing_but_makes_earlier_likes_older() -> None:
    events = events_of([[0, 1], [2]])
    events.values[1] = 1
    np.testing.assert_allclose(recent_likes(events, 3, 4.0, 1.0), [2 / 3, 0, 4 / 3])


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


@pytest.mark.parametrize("half_life", [None, 5.0])
def test_a_network_starts_from_the_prior_of_its_half_life(made_up_dataset: Dataset, half_life: float | None) -> None:
    config = TrainingConfig(dim=8, anchors=16, neighbours=10, half_life=half_life)
    dataset = made_up_dataset
    network = build(dataset, dataset.events, config, (0, 1, 3))
    likes = recent_likes(dataset.events, dataset.n_items, dataset.feedback.liked_at_least, half_life)
    expected, of_new = log_popularity(likes)
    np.testing.assert_array_equal(network.encoder.prior[:, 0], expected)
    assert network.encoder.prior_of_new.item() == pytest.approx(of_new)
