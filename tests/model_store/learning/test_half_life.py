"""The prior forgets where the order of events says so, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.data.sources import load
from model_store.evaluation.protocol import KShot, Tasks, make_tasks
from model_store.learning import half_life as recency
from model_store.learning.half_life import choose_half_life
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
    """Everybody likes 30 of the first 35 items, and then 15 of the other 25, where one in three is for few."""
    return [[*rng.permutation(35)[:30], *35 + rng.permutation(25)[:15]] for _ in range(N_USERS)]


def at_rest(rng: np.random.Generator) -> list[list[int]]:
    """Nothing is popular, early or late: what looks best is luck."""
    return [list(rng.permutation(N_ITEMS)[:45]) for _ in range(N_USERS)]


def asked(dataset: Dataset, rows: list[list[int]]) -> tuple[Dataset, Events, Tasks]:
    everybody = events_of(rows)
    titles = [""] * N_ITEMS
    own = replace(dataset, events=everybody, item_ids=titles, has_order=True)
    tasks = make_tasks(own, np.arange(100, N_USERS), KShot((0, 1, 30), 31))
    return own, everybody.select(np.arange(100)), tasks


def test_a_like_counts_half_after_as_many_events_of_its_user_as_the_half_life() -> None:
    events = events_of([[0, 1, 2], [3]])
    assert recent_likes(events, 5, 4.0, None).tolist() == [1, 1, 1, 1, 0]
    # Weights 1/4, 1/2, 1 and 1, scaled to four likes.
    np.testing.assert_allclose(recent_likes(events, 5, 4.0, 1.0), np.array([1, 2, 4, 4, 0]) / 11 * 4)


def test_what_was_not_liked_counts_nothing_but_makes_what_stood_before_older() -> None:
    events = events_of([[0, 1], [2]])
    events.values[1] = 1
    np.testing.assert_allclose(recent_likes(events, 3, 4.0, 1.0), [2 / 3, 0, 4 / 3])


def test_where_users_move_on_the_prior_forgets(made_up_dataset: Dataset, rng: np.random.Generator) -> None:
    dataset, training, tasks = asked(made_up_dataset, moving_on(rng))
    assert choose_half_life(dataset, training, tasks, seed=0) in {10.0, 20.0}


@pytest.mark.parametrize("seed", range(12))
def test_popularity_stays_where_nothing_is_clearly_better(made_up_dataset: Dataset, seed: int) -> None:
    dataset, training, tasks = asked(made_up_dataset, at_rest(np.random.default_rng(seed)))
    assert choose_half_life(dataset, training, tasks, seed=0) is None


def test_nobody_is_served_what_was_counted_on_them(
    made_up_dataset: Dataset, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(_dataset: Dataset, counted: Events, tasks: Tasks) -> np.ndarray:
        judged.append((counted.n_users, len(tasks.queries)))
        return np.zeros((len(recency.HALF_LIVES), len(tasks.queries)))

    judged: list[tuple[int, int]] = []
    monkeypatch.setattr(recency, "_judge", judge)
    recency.choose_half_life(*asked(made_up_dataset, at_rest(rng)), seed=0)
    assert judged == [(100, 20), (66, 34), (67, 33), (67, 33)]


def test_a_random_order_says_nothing(made_up_dataset: Dataset, rng: np.random.Generator) -> None:
    dataset, training, tasks = asked(made_up_dataset, moving_on(rng))
    assert choose_half_life(replace(dataset, has_order=False), training, tasks, seed=0) is None


@pytest.mark.parametrize("half_life", [None, 5.0])
def test_a_network_starts_from_the_prior_it_is_told(made_up_dataset: Dataset, half_life: float | None) -> None:
    config = TrainingConfig(dim=8, anchors=16, neighbours=10, half_life=half_life)
    dataset = made_up_dataset
    network = build(dataset, dataset.events, config, (0, 1, 3))
    likes = recent_likes(dataset.events, dataset.n_items, dataset.feedback.liked_at_least, half_life)
    expected, of_new = log_popularity(likes)
    np.testing.assert_array_equal(network.encoder.prior[:, 0], expected)
    assert network.encoder.prior_of_new.item() == pytest.approx(of_new)
