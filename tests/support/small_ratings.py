"""Ratings and features small enough to work out by hand."""

from __future__ import annotations

import numpy as np

from model_store.data.schema import Events, ItemFeatures
from model_store.studies.ratings.model import SideInformation
from model_store.studies.ratings.rated_users import RatedUsers


def events_of(*users: dict[int, float]) -> Events:
    """Ratings by item, one dictionary per user."""
    lengths = [len(user) for user in users]
    items = [item for user in users for item in user]
    values = [value for user in users for value in user.values()]
    return Events(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array(items, dtype=np.int32),
        np.array(values, dtype=np.float32),
        np.zeros(len(items)),
    )


def features_of(rows: list[list[int]], n_features: int) -> ItemFeatures:
    """Features by row, all of weight 1."""
    return ItemFeatures(
        [f"f{number}" for number in range(n_features)],
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
        np.array([feature for row in rows for feature in row], dtype=np.int64),
        np.ones(sum(map(len, rows)), dtype=np.float32),
    )


SIDE = SideInformation(features_of([[0], [0], [1], [1]], 2), features_of([[0], [0], [1], [1]], 2))


def tastes(n_items: int = 3) -> RatedUsers:
    """Four users who rated the first items of four."""
    return RatedUsers(
        np.arange(4), events_of(*({item: 1.0 + (user + item) % 5 for item in range(n_items)} for user in range(4)))
    )


def one_hot(n_items: int) -> ItemFeatures:
    """One feature per item."""
    names = [f"item={row}" for row in range(n_items)]
    return ItemFeatures(names, np.arange(n_items + 1), np.arange(n_items), np.ones(n_items, dtype=np.float32))
