"""The loss of the outer loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from model_store.config import TrainingConfig
from model_store.data.episodes import deal
from model_store.data.sources import load
from model_store.meta.loss import episode_loss
from model_store.meta.network import build
from model_store.meta.parts.part import LeaveOut

CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, batch_users=64, dropout=0.0, l2=0.0)


def test_the_loss_weights_the_items_of_a_query(source: Path) -> None:
    """With all weight on one item, the likelihood of the others does not matter."""
    dataset = load(str(source)).dataset
    network = build(dataset, dataset.events, CONFIG, (0, 1, 3, 5))
    episodes = deal(dataset.events, np.arange(20), 4.0, 5, np.random.default_rng(0))
    first = int(episodes.rest_liked.nonzero()[0][0])
    user, item = episodes.rest[:, first]
    only = torch.zeros(dataset.n_items)
    only[item] = 3.0
    loss = episode_loss(network, episodes, CONFIG, only)

    with torch.no_grad():
        target = torch.zeros(20, dataset.n_items)
        target[tuple(torch.from_numpy(episodes.rest[:, episodes.rest_liked]))] = 1
        leave_out = LeaveOut(target, torch.from_numpy(episodes.support_liked))
        scores = network(episodes.support, leave_out=leave_out)
        for row, (rows, mask) in enumerate(zip(episodes.support.rows, episodes.support.mask, strict=True)):
            scores[row, rows[mask > 0]] = -1e9
        likes_item = target[:, item] > 0
        assert likes_item[user]
        expected = -torch.log_softmax(scores, 1)[likes_item, item].mean()
    torch.testing.assert_close(loss, expected)
