"""Reptile: the start moves towards the adapted weights, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.sources import load
from model_store.meta.algorithms import begin
from model_store.meta.algorithms.reptile import ReptileDescent, adapted_weights, moved, whole_profiles
from model_store.meta.inner import descend
from model_store.meta.outer import Batch

CONFIG = TrainingConfig(algorithm=AlgorithmName.REPTILE, dim=8, anchors=16, neighbours=10, max_support=60)
CURVATURE = torch.tensor([[2.0, 0.3, 0.0, 0.0], [0.3, 1.0, 0.1, 0.0], [0.0, 0.1, 0.5, 0.0], [0.0, 0.0, 0.0, 3.0]])
STEP = torch.tensor(0.2)


def test_reptile_moves_along_the_closed_form_on_quadratic_tasks() -> None:
    """The mean over tasks of w_T − w₀ is −(I − (I − αA)^T)(w₀ − mean t)."""
    drawn = torch.randn(6, 4, generator=torch.Generator().manual_seed(4))
    start, targets = drawn[0], drawn[1:]
    adapted = descend(start.expand(5, -1), lambda w: (w - targets) @ CURVATURE, [STEP] * 3)
    power = torch.linalg.matrix_power(torch.eye(4) - STEP * CURVATURE, 3)
    expected = -0.1 * (torch.eye(4) - power) @ (start - targets.mean(0))
    torch.testing.assert_close(moved(start, adapted, 0.1) - start, expected)


def test_the_start_moves_towards_the_adapted_weights_and_by_nothing_else(source: Path) -> None:
    dataset = load(str(source)).dataset
    outer = begin(dataset, dataset.events, CONFIG, (0, 1, 3, 5))
    adaptation = outer.network.adaptation(ReptileDescent)
    batch = Batch(dataset.events, np.arange(60), dataset.feedback.liked_at_least)
    outer.algorithm.step(outer, batch, CONFIG)
    start = adaptation.start.clone()
    with torch.no_grad():
        adaptation.start.zero_()  # where it began
    towards = adapted_weights(outer.network, whole_profiles(batch, CONFIG.max_support)).mean(0)
    torch.testing.assert_close(start, 0.1 * towards)
    assert towards.abs().max() > 0.01
