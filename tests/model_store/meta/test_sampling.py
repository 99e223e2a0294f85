"""Entropy-guided sampling: queries have the entropy requested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.meta.network import build
from model_store.meta.outer import Outer, Progress, meta_train
from model_store.meta.sampling import entropy, solve_temperature

ZIPF = np.round(1000 / np.arange(1, 301))
SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=64)


@given(st.lists(st.integers(0, 50), min_size=1).filter(any))
def test_entropy_is_that_of_scipy(masses: list[int]) -> None:
    assert entropy(np.array(masses, dtype=np.float64)) == pytest.approx(stats.entropy(masses), abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_weights_bring_the_entropy_the_share_of_the_way_to_uniform(share: float) -> None:
    draw = solve_temperature(ZIPF, share)
    of_data = stats.entropy(ZIPF)
    expected = of_data + share * (np.log(len(ZIPF)) - of_data)
    assert draw.target == pytest.approx(expected)
    assert stats.entropy(ZIPF * draw.weights) == pytest.approx(expected, abs=1e-5)
    assert 0 < draw.temperature < 1


def test_a_share_of_0_leaves_the_data_and_a_share_of_1_makes_it_uniform() -> None:
    assert (solve_temperature(ZIPF, 0).weights == 1).all()
    mass = ZIPF * solve_temperature(ZIPF, 1).weights
    np.testing.assert_allclose(mass, mass[0], rtol=1e-5)


def test_the_average_like_keeps_its_weight_and_an_item_without_likes_has_none() -> None:
    likes = np.array([6.0, 0, 3, 1])
    weights = solve_temperature(likes, 0.5).weights
    assert weights[1] == 0
    assert weights @ likes == pytest.approx(likes.sum())
    assert weights[0] < weights[2] < weights[3]


def test_one_liked_item_leaves_the_temperature_free() -> None:
    np.testing.assert_allclose(solve_temperature(np.array([0.0, 7]), 0.5).weights, [0, 1])


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_the_entropy_of_the_items_drawn_is_in_the_history(dataset: Dataset, share: float) -> None:
    events = dataset.events
    config = CONFIG.model_copy(update={"entropy": share})
    outer = Outer.begin(build(dataset, events, config, SHOTS), config)
    progress = meta_train(outer, dataset, events, lambda _: 0.0, config, progress=Progress())
    likes = np.bincount(events.items[events.values >= 4], minlength=dataset.n_items).astype(np.float64)
    for epoch in progress.history:
        # Items dealt to supports are missing from queries, so the entropy is met up to chance.
        assert epoch["query_entropy"] == pytest.approx(solve_temperature(likes, share).target, abs=0.01)
