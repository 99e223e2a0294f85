"""The votes: conditional neighbours, and sparse addends that sum to the dense ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.meta.inner import Levels
from model_store.meta.network import build
from model_store.meta.parts.part import LeaveOut, NeighbourLists, ScoringBatch, VotingEvents
from model_store.meta.parts.votes import SHRINKAGE, Votes, conditional_neighbours
from model_store.meta.supports import EventBatch, SupportBatch

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10)
LIKED = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]], dtype=np.float32)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def test_neighbours_are_conditional_co_counts_best_first() -> None:
    neighbours = conditional_neighbours(sp.csr_array(LIKED), 2)
    assert neighbours.rows[0].tolist() == [1, 2]
    np.testing.assert_allclose(neighbours.weights[0], np.array([3, 2]) / (4 + SHRINKAGE))
    assert neighbours.weights[3].tolist() == [0, 0]  # without likes, without neighbours


def test_without_likes_all_lists_are_empty() -> None:
    assert not conditional_neighbours(sp.csr_array(np.zeros((3, 4), dtype=np.float32)), 2).weights.any()


def test_sparse_addends_sum_to_the_dense_ones(dataset: Dataset) -> None:
    """Three users in one batch: three events, none, one; against each user by itself, padded and dense."""
    votes = build(dataset, dataset.events, CONFIG, SHOTS).part(Votes)
    supports = [([3, 4, 3], [5.0, 4.0, 1.0]), ([0], [0.0]), ([7], [5.0])]
    rows = torch.tensor([row for items, _ in supports for row in items])
    values = torch.tensor([value for _, feedback in supports for value in feedback])
    users, shots = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([3.0, 0.0, 1.0])
    lists = votes.exported_lists(rows.numpy())
    addends = votes.addends(lists, VotingEvents(values, torch.zeros(5), users, shots))
    sparse = torch.zeros(3, dataset.n_items)
    sparse.index_put_((users.unsqueeze(1).expand_as(lists.rows), lists.rows), addends, accumulate=True)
    for user, (items, feedback) in enumerate(supports):
        lists = NeighbourLists(votes.rows[items].unsqueeze(0), votes.list_weights[items].unsqueeze(0))
        mask = torch.full((1, 1, len(items)), min(1.0, shots[user].item()))
        event_votes = votes.event_votes(torch.tensor([[feedback]]), torch.zeros_like(mask), mask)
        expected = votes.dense(*lists, event_votes, shots[user].reshape(1, 1))
        torch.testing.assert_close(sparse[user], expected[0])
        assert (expected > 0).any() == (shots[user] > 0)


def test_the_likes_of_a_training_user_do_not_count_for_that_user() -> None:
    """The first user likes items 0 and 1; one of the three users that like both is that user."""
    neighbours = conditional_neighbours(sp.csr_array(LIKED), 2)
    votes = Votes(neighbours, Levels(torch.tensor([1.0, 5.0])), torch.ones(2), torch.ones(4), SHOTS)
    without_user = Votes(neighbours, Levels(torch.tensor([1.0, 5.0])), torch.ones(2), torch.ones(4), SHOTS)
    without_user.replace_lists(NeighbourLists(votes.rows, torch.full_like(votes.list_weights, 2 / (4 + SHRINKAGE))))

    def scores(part: Votes, *, liked: bool) -> torch.Tensor:
        events = EventBatch(torch.zeros(1, 1, 8), torch.zeros(1, 1, 1), torch.full((1, 1), 5.0), torch.zeros(1, 1))
        leave_out = LeaveOut(torch.from_numpy(LIKED[:1]), torch.tensor([[liked]]))
        supports = SupportBatch(events, torch.ones(1, 1))
        return part.scores(ScoringBatch(torch.tensor([[0]]), supports, torch.zeros(4, 9), leave_out))

    assert votes.rows[0].tolist() == [1, 2]
    torch.testing.assert_close(scores(votes, liked=True), scores(without_user, liked=False))
    assert (scores(votes, liked=False)[0, 1] > scores(votes, liked=True)[0, 1]).all()
