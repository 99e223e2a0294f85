"""The network at its start: finite scores on any scale of values, and typed access to its adaptation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from model_store.config import TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.sources import load, prepare
from model_store.meta.algorithms.matching import Matching
from model_store.meta.inner import InnerLoop
from model_store.meta.network import build
from model_store.tables.table import Table, Tables

CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10)


@pytest.mark.parametrize("value", [1e-30, 1.0, 1e9, 9e14])
def test_values_that_float32_cannot_tell_apart_are_one_level(value: float) -> None:
    users, items = np.indices((12, 6)).reshape(2, -1)
    frame = pl.DataFrame({"user_id": users, "item_id": items, "value": value * (1 + 1e-12 * items)})
    dataset = prepare("made up", Tables(Table("made up", frame), None)).dataset
    network = build(dataset, dataset.events, CONFIG, (0, 1))
    support = pack_support(dataset.events, [np.arange(3)], np.array([0]))
    assert torch.isfinite(network(support)).all()


def test_the_adaptation_has_the_class_that_its_algorithm_made(source: Path) -> None:
    dataset = load(str(source)).dataset
    network = build(dataset, dataset.events, CONFIG, (0, 1))
    assert network.adaptation(InnerLoop).event_weight.requires_grad
    with pytest.raises(TypeError, match="adapts by InnerLoop, expected Matching"):
        network.adaptation(Matching)


def test_lists_of_single_items_are_those_of_the_whole(source: Path) -> None:
    dataset = load(str(source)).dataset
    network = build(dataset, dataset.events, CONFIG, (0, 1))
    whole, some = network.neighbour_lists(), network.neighbour_lists(np.array([7, 3]))
    torch.testing.assert_close(some.rows, whole.rows[[7, 3]])
    torch.testing.assert_close(some.weights, whole.weights[[7, 3]])
