"""The linear memory votes as EASE does, by its largest weights."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_store.meta.parts.ease import CoCounts, EaseMemory, ease
from model_store.meta.statistics import Statistics

SHOTS = (0, 1, 3, 5)
SUPPORT = torch.tensor([[0, 1, 2], [0, 5, 3]])
VALUES = torch.tensor([[0.0, 5.0, 4.0], [5.0, 5.0, 1.0]])
MASK = torch.tensor([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])


@pytest.fixture
def liked() -> sp.csr_array:
    return sp.csr_array(np.random.default_rng(0).integers(0, 2, (50, 6)).astype(np.float32))


def test_the_linear_memory_votes_as_ease_does(liked: sp.csr_array) -> None:
    counts = CoCounts.count(liked, 4)
    memory = EaseMemory(6, 4.0, 4, SHOTS)
    assert not memory.dense(SUPPORT, VALUES, MASK).any()
    memory.fit(counts, 10.0)
    weights = np.zeros((6, 6), dtype=np.float32)
    weights[np.ix_(counts.kept, counts.kept)] = ease(counts, 10.0)
    expected = np.stack([weights[1] + weights[2], weights[0] + weights[5]])
    torch.testing.assert_close(memory.dense(SUPPORT, VALUES, MASK), torch.from_numpy(expected))
    memory.clear()
    assert not memory.dense(SUPPORT, VALUES, MASK).any()


def test_a_shorter_list_keeps_the_weights_furthest_from_0(liked: sp.csr_array) -> None:
    counts = CoCounts.count(liked, 4)
    memory = EaseMemory(6, 4.0, 1, SHOTS)
    memory.fit(counts, 10.0)
    weights = ease(counts, 10.0)
    assert memory.rows[counts.kept[0]].tolist() == [counts.kept[np.abs(weights[0]).argmax()]]


def test_a_fitter_fits_to_the_likes_that_it_was_prepared_with(liked: sp.csr_array) -> None:
    prepared, expected = EaseMemory(6, 4.0, 4, SHOTS), EaseMemory(6, 4.0, 4, SHOTS)
    fit = prepared.fitter(Statistics(liked, np.asarray(liked.sum(0))))
    for regularisation in (30.0, 300.0):
        fit(regularisation)
        expected.fit(CoCounts.count(liked, 6), regularisation)
        torch.testing.assert_close(prepared.list_weights, expected.list_weights)
