"""A catalogue of 20 items about four topics, and events of users."""

from __future__ import annotations

import itertools

import numpy as np

from model_store.bundle.manifest import DataFingerprint, FeedbackSpec
from model_store.data.schema import Dataset, Events, ItemFeatures

N_ITEMS = 20
TOPICS = 4


def dataset_of(*users: list[tuple[int, float]]) -> Dataset:
    """Users' (item, value) events; item i is about topic i mod 4."""
    pairs = list(itertools.chain(*users))
    events = Events(
        np.cumsum([0, *map(len, users)], dtype=np.int64),
        np.array([item for item, _ in pairs], dtype=np.int32),
        np.array([value for _, value in pairs], dtype=np.float32),
        np.arange(len(pairs), dtype=np.float64),
    )
    topics = np.arange(N_ITEMS) % TOPICS
    return Dataset(
        user_ids=[f"u{number}" for number in range(len(users))],
        item_ids=[f"i{number}" for number in range(N_ITEMS)],
        titles=[""] * N_ITEMS,
        events=events,
        has_order=True,
        has_time=True,
        feedback=FeedbackSpec(value_min=1, value_max=5, liked_at_least=4, types={}),
        features=ItemFeatures(
            [f"topic={number}" for number in range(TOPICS)],
            np.arange(N_ITEMS + 1),
            topics.astype(np.int64),
            np.ones(N_ITEMS, np.float32),
        ),
        fingerprint=DataFingerprint(source="made up", sha256="", users=len(users), items=N_ITEMS, events=len(pairs)),
    )


def held_out_items(*items: int) -> np.ndarray:
    """Mask of some items."""
    held_out = np.zeros(N_ITEMS, dtype=np.bool_)
    held_out[list(items)] = True
    return held_out
