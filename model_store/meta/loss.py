"""The loss of the outer loop: a softmax over the full catalogue on each user's query, plus L2 on vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from model_store.config import TrainingConfig
from model_store.data.episodes import Episodes
from model_store.meta.distributed import ALONE, ProcessGroup
from model_store.meta.network import Network
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.part import LeaveOut
from model_store.meta.supports import LEARNED


def episode_loss(
    network: Network,
    episodes: Episodes,
    config: TrainingConfig,
    weights: Tensor | None = None,
    group: ProcessGroup = ALONE,
) -> Tensor:
    """Negative log-likelihood per query item, plus L2 on the vectors of items and of attributes; a scalar.

    Args:
        network: to be trained.
        episodes: supports and queries.
        config: dropout and L2.
        weights: float32 (n_items,), weight of each item in a query; all 1 if absent.
        group: the processes that hold the rest of the batch; the losses of all add up to that of the batch.
    """
    episode, item = torch.from_numpy(episodes.rest)
    query = torch.from_numpy(episodes.rest_liked)
    target = torch.zeros(len(episodes.support.rows), network.n_items)
    target[episode[query], item[query]] = 1.0
    leave_out = LeaveOut(target, torch.from_numpy(episodes.support_liked))
    scores = network(episodes.support, leave_out=leave_out, dropout=config.dropout)
    rows, mask = torch.from_numpy(episodes.support.rows), torch.from_numpy(episodes.support.mask)
    # The support is not recommended again, so it does not compete either.
    seen = torch.zeros_like(target).scatter_add(1, rows, mask)
    likelihood = torch.log_softmax(scores.masked_fill(seen > 0, -1e9), dim=1)
    counted = _like_weights(episodes, target)
    counted = counted if weights is None else counted * weights
    whole = group.total(counted.sum()).clamp(min=1)
    return vector_penalty(network, config) / group.size - (likelihood * counted).sum() / whole


def _like_weights(episodes: Episodes, target: Tensor) -> Tensor:
    """Weight of each item of a query, float32 (B, n_items); it is ``target`` if all likes count the same."""
    if episodes.rest_weights is None:
        return target
    liked = episodes.rest_liked
    episode, item = torch.from_numpy(episodes.rest[:, liked])
    weighted = torch.zeros_like(target)
    weighted[episode, item] = torch.from_numpy(episodes.rest_weights[liked])
    return weighted


def vector_penalty(network: Network, config: TrainingConfig) -> Tensor:
    """L2 on the vectors of items and of attributes; a scalar."""
    of_items = config.l2 * network.encoder.vectors()[:, LEARNED].square().mean()
    # Summed, not averaged: an attribute of few users is drawn to zero harder than one of many.
    return of_items + config.attribute_l2 * network.part(Dense).adaptation.attribute_vectors().square().sum()
