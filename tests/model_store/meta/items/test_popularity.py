"""The popularity prior: likes that fade over the later events of their user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store.config import TrainingConfig
from model_store.data.schema import Events
from model_store.data.sources import load
from model_store.meta.items.popularity import log_popularity, recent_likes
from model_store.meta.network import build


def events_of(rows: list[list[int]]) -> Events:
    items = np.concatenate(rows).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Events(indptr, items, np.full(len(items), 5, np.float32), np.zeros(len(items)))


def test_a_like_counts_half_after_as_many_events_of_its_user_as_the_half_life() -> None:
    events = events_of([[0, 1, 2], [3]])
    assert recent_likes(events, 5, 4.0, None).tolist() == [1, 1, 1, 1, 0]
    # Weights 1/4, 1/2, 1 and 1, scaled to four likes.
    np.testing.assert_allclose(recent_likes(events, 5, 4.0, 1.0), np.array([1, 2, 4, 4, 0]) / 11 * 4)


def test_a_disliked_item_counts_nothing_but_makes_earlier_likes_older() -> None:
    events = events_of([[0, 1], [2]])
    events.values[1] = 1
    np.testing.assert_allclose(recent_likes(events, 3, 4.0, 1.0), [2 / 3, 0, 4 / 3])


@pytest.mark.parametrize("half_life", [None, 5.0])
def test_a_network_starts_from_the_prior_of_its_half_life(source: Path, half_life: float | None) -> None:
    config = TrainingConfig(dim=8, anchors=16, neighbours=10, half_life=half_life)
    dataset = load(str(source)).dataset
    network = build(dataset, dataset.events, config, (0, 1, 3))
    likes = recent_likes(dataset.events, dataset.n_items, dataset.feedback.liked_at_least, half_life)
    expected, of_new = log_popularity(likes)
    np.testing.assert_array_equal(network.encoder.prior[:, 0], expected)
    assert network.encoder.prior_of_new.item() == pytest.approx(of_new)
