"""Entropy-guided sampling: the entropy asked for is the entropy that queries have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from model_store.config import TrainingConfig
from model_store.data.episodes import deal
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.meta.network import build
from model_store.meta.outer import Outer, Progress, episode_loss, meta_train
from model_store.meta.sampling import entropy, steer

ZIPF = np.round(1000 / np.arange(1, 301))
SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=64)


@given(st.lists(st.integers(0, 50), min_size=1).filter(any))
def test_entropy_is_that_of_scipy(masses: list[int]) -> None:
    assert entropy(np.array(masses, dtype=np.float64)) == pytest.approx(stats.entropy(masses), abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_weights_bring_the_entropy_the_share_of_the_way_to_uniform(share: float) -> None:
    draw = steer(ZIPF, share)
    of_data = stats.entropy(ZIPF)
    expected = of_data + share * (np.log(len(ZIPF)) - of_data)
    assert draw.target == pytest.approx(expected)
    assert stats.entropy(ZIPF * draw.weights) == pytest.approx(expected, abs=1e-5)
    assert 0 < draw.temperature < 1


def test_a_share_of_nothing_leaves_the_data_and_a_whole_one_makes_it_uniform() -> None:
    assert (steer(ZIPF, 0).weights == 1).all()
    mass = ZIPF * steer(ZIPF, 1).weights
    np.testing.assert_allclose(mass, mass[0], rtol=1e-5)


def test_the_average_like_keeps_its_weight_and_what_nobody_liked_has_none() -> None:
    likes = np.array([6.0, 0, 3, 1])
    weights = steer(likes, 0.5).weights
    assert weights[1] == 0
    assert weights @ likes == pytest.approx(likes.sum())
    assert weights[0] < weights[2] < weights[3]


def test_one_liked_item_leaves_nothing_to_steer() -> None:
    np.testing.assert_allclose(steer(np.array([0.0, 7]), 0.5).weights, [0, 1])


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def test_the_loss_counts_each_query_item_by_its_weight(dataset: Dataset) -> None:
    """With all weight on one item, what the others' likelihood is does not matter."""
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    config = CONFIG.model_copy(update={"dropout": 0.0, "l2": 0.0})
    episodes = deal(dataset.events, np.arange(20), 4.0, 5, np.random.default_rng(0))
    place = int(episodes.rest_liked.nonzero()[0][0])
    user, item = episodes.rest[:, place]
    only = torch.zeros(dataset.n_items)
    only[item] = 3.0
    found = episode_loss(network, episodes, config, only)

    with torch.no_grad():
        target = torch.zeros(20, dataset.n_items)
        target[tuple(torch.from_numpy(episodes.rest[:, episodes.rest_liked]))] = 1
        liked = torch.from_numpy(episodes.support_liked)
        scores = network(episodes.support, own=target, support_liked=liked)
        for row, (rows, mask) in enumerate(zip(episodes.support.rows, episodes.support.mask, strict=True)):
            scores[row, rows[mask > 0]] = -1e9
        asked = target[:, item] > 0
        assert asked[user]
        expected = -torch.log_softmax(scores, 1)[asked, item].mean()
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("share", [0.0, 0.8])
def test_the_entropy_of_what_was_drawn_is_in_the_history(dataset: Dataset, share: float) -> None:
    events = dataset.events
    config = CONFIG.model_copy(update={"entropy": share})
    outer = Outer.begin(build(dataset, events, config, SHOTS), config)
    progress = meta_train(outer, dataset, events, lambda _: 0.0, config, progress=Progress())
    likes = np.bincount(events.items[events.values >= 4], minlength=dataset.n_items).astype(np.float64)
    for row in progress.history:
        # What is dealt to supports is missing from queries, so the entropy is met but for chance.
        assert row["query_entropy"] == pytest.approx(steer(likes, share).target, abs=0.01)
