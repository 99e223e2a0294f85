"""The first item vectors on data in which users or items are all alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
import torch
from numpy.typing import NDArray

from model_store.config import TrainingConfig
from model_store.data.sources import prepare
from model_store.meta.network import build
from model_store.tables.table import Table, Tables

CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10)
Likes = NDArray[np.bool_]

PATTERNS: dict[str, Callable[[int, int], Likes]] = {
    "all like everything": lambda users, items: np.ones((users, items), bool),
    "all but one pair": lambda users, items: np.arange(users * items).reshape(users, items) > 0,
    "one item is liked by all": lambda users, items: np.tile(np.arange(items) == 0, (users, 1)),
    "one user likes everything": lambda users, items: np.tile((np.arange(users) == 0)[:, None], items),
    "one like": lambda users, items: np.arange(users * items).reshape(users, items) == 0,
    "an item per user": lambda users, items: np.arange(users)[:, None] % items == np.arange(items),
    "two groups": lambda users, items: (np.arange(users)[:, None] + np.arange(items)) % 2 == 0,
}


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (2, 40), (40, 2), (30, 8)])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_network_starts_from_finite_vectors_whatever_is_liked(pattern: str, shape: tuple[int, int]) -> None:
    users, items = np.indices(shape).reshape(2, -1)
    values = np.where(PATTERNS[pattern](*shape).ravel(), 5.0, 1.0)
    frame = pl.DataFrame({"user_id": users, "item_id": items, "value": values})
    dataset = prepare("made up", Tables(Table("made up", frame), None)).dataset
    vectors = build(dataset, dataset.events, CONFIG, (0, 1)).encoder.vectors()
    assert vectors.shape == (shape[1], CONFIG.dim + 1)
    assert torch.isfinite(vectors).all()
    assert (vectors[:, :-1] != 0).any(), "vectors of zeros alone have no gradient"
