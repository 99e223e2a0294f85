"""Exported graphs compute the same as the parts of the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from model_store.config import TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.sources import load
from model_store.export.torch_graphs import Adapt, Vote
from model_store.meta.network import build
from model_store.meta.parts.ease import CoCounts, EaseMemory
from model_store.meta.parts.votes import Votes
from model_store.meta.statistics import count

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10)


def test_the_votes_and_the_state_of_a_user_sum_to_the_parts(source: Path) -> None:
    dataset = load(str(source)).dataset
    network = build(dataset, dataset.events, CONFIG.model_copy(update={"neighbours": 7}), SHOTS)
    linear = network.part(EaseMemory)
    liked = count(dataset.events, dataset.n_items, dataset.feedback.liked_at_least).liked
    linear.fit(CoCounts.count(liked, dataset.n_items), 10.0)
    linear.weight.at_knots.copy_(torch.tensor([0.0, 0.5, 1.0, 2.0]))
    support = pack_support(dataset.events, [np.arange(3), np.arange(10, 12)])
    by_part = network.scores_by_part(support)
    kept = support.mask > 0
    values, ages = (torch.from_numpy(column[kept]) for column in (support.values, support.ages))
    lists = network.neighbour_lists(support.rows[kept])
    user, rows, addends = Vote(network)(*lists, values, ages, torch.tensor([0, 0, 0, 1, 1]), torch.tensor([3.0, 2.0]))
    votes = torch.zeros(2, dataset.n_items).index_put_((user, rows), addends, accumulate=True)
    assert by_part[EaseMemory.name].any()
    torch.testing.assert_close(votes, by_part[Votes.name] + by_part[EaseMemory.name])

    vectors = network.encoder.vectors()
    columns = map(torch.from_numpy, (support.values, support.ages, support.mask))
    states = Adapt(network)(vectors[torch.from_numpy(support.rows)], *columns)
    torch.testing.assert_close(states @ vectors.T + votes, network(support))
