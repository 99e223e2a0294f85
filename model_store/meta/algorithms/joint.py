"""The control without meta-learning: the default's parameters, trained the ordinary way. Does meta-training itself pay?

Softmax matrix factorisation (the multinomial likelihood of Liang et al. 2018, arXiv:1802.05814, with a free vector for
each user): item vectors, votes and one w_u per training user are learned jointly on whole profiles,

    −Σ_u Σ_{i liked by u} log softmax_i(w_u · x + votes + prior) + λ/2 · n_u · |w_u − w₀|²,

which is the default's inner loss over the whole catalogue. A new user is served by the default's own gradient
steps: from the mean of the w_u, with the most popular items as anchors, the event weights and pull that every training
starts from, and the one step size that validation users like best. The w_u do not leave the training.
"""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from model_store.bundle import Support
from model_store.config import TrainingConfig
from model_store.data.schema import Events
from model_store.meta.algorithms.maml import copy_anchors
from model_store.meta.algorithms.reptile import whole_profiles
from model_store.meta.distributed import ProcessGroup
from model_store.meta.inner import AdaptationSpec, InnerLoop
from model_store.meta.loss import vector_penalty
from model_store.meta.network import Network
from model_store.meta.outer import Algorithm, Batch, Outer, Validate
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.part import LeaveOut
from model_store.meta.supports import LEARNED

# Around the .5 that meta-training starts from.
LOG_STEPS = (-1.5, -0.5, 0.5, 1.5)


class JointLoop(InnerLoop):
    """The default's inner loop with a free vector per training user, (n_users, dim); none before ``prepare``."""

    def __init__(self, spec: AdaptationSpec) -> None:
        super().__init__(spec)
        self.users = nn.Parameter(torch.zeros(0, spec.dim))


def prepare(network: Network, training: Events) -> None:
    """Give each training user a vector."""
    inner = network.adaptation(JointLoop)
    inner.users = nn.Parameter(torch.zeros(training.n_users, len(inner.start)))
    copy_anchors(network, inner.anchors)


def factorisation_loss(
    w: Tensor, vectors: Tensor, offsets: Tensor, target: Tensor, prior: tuple[Tensor, Tensor]
) -> Tensor:
    """Softmax matrix factorisation of a batch of users, summed; a scalar.

    Args:
        w: float32 (B, dim), the users' vectors.
        vectors: float32 (n_items, dim).
        offsets: float32 (B, n_items), the other parts of the scores.
        target: float32 (B, n_items), ones at the items that a user liked.
        prior: w₀ (dim,) and λ (dim,): where w is pulled to and how much.
    """
    likelihood = torch.log_softmax(w @ vectors.T + offsets, dim=1)
    towards, pull = prior
    distance = (pull * (w - towards).square()).sum(1, keepdim=True) * target.sum(1, keepdim=True)
    return distance.sum() / 2 - (likelihood * target).sum()


def step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """One step of ordinary training on whole profiles; the start and the anchors follow."""
    target = _liked(batch, outer.network.n_items)
    if not target.any():
        return None
    shard = replace(batch, users=batch.users[outer.group.shard])
    loss = outer.go_down(_batch_loss(outer.network, shard, target[outer.group.shard], config, outer.group))
    _follow(outer.network)
    return loss


def _liked(batch: Batch, n_items: int) -> Tensor:
    """Ones at the items that each user of the batch liked, float32 (B, n_items)."""
    target = torch.zeros(len(batch.users), n_items)
    events = batch.events.select(batch.users)
    users = np.repeat(np.arange(events.n_users), events.lengths())
    liked = events.values >= batch.liked_at_least
    target[torch.from_numpy(users[liked]), torch.from_numpy(events.items[liked].astype(np.int64))] = 1.0
    return target


def _batch_loss(network: Network, batch: Batch, target: Tensor, config: TrainingConfig, group: ProcessGroup) -> Tensor:
    inner = network.adaptation(JointLoop)
    profiles = whole_profiles(batch, config.max_support)
    w = inner.users[torch.from_numpy(batch.users)]
    prior = (inner.start.detach(), inner.log_pull.detach().exp())
    dropped = nn.functional.dropout(w, config.dropout)
    vectors = network.encoder.vectors()[:, LEARNED]
    loss = factorisation_loss(dropped, vectors, _offsets(network, profiles, batch, target), target, prior)
    return loss / group.total(target.sum()) + vector_penalty(network, config) / group.size


def _offsets(network: Network, profiles: Support, batch: Batch, target: Tensor) -> Tensor:
    """The other parts of the scores, from the whole profiles, (B, n_items)."""
    liked = torch.from_numpy((profiles.values >= batch.liked_at_least) & (profiles.mask > 0))
    by_part = network.scores_by_part(profiles, leave_out=LeaveOut(target, liked))
    return reduce(torch.add, (scores for name, scores in by_part.items() if name != Dense.name))


@torch.no_grad()
def _follow(network: Network) -> None:
    """Move the start and the anchors, from which new users are served, to where the training stands."""
    inner = network.adaptation(JointLoop)
    inner.start.copy_(inner.users.mean(0))
    copy_anchors(network, inner.anchors)


@torch.no_grad()
def settle(network: Network, validate: Validate) -> None:
    """Choose the step size by the validation users, and drop the vectors of the training users."""
    inner = network.adaptation(JointLoop)
    inner.users = nn.Parameter(inner.users[:0].clone())
    scores = {}
    for log_step in LOG_STEPS:
        inner.log_step.fill_(log_step)
        scores[log_step] = validate(network)
    inner.log_step.fill_(max(scores, key=scores.__getitem__))


ALGORITHM = Algorithm(adaptation=JointLoop, step=step, prepare=prepare, settle=settle)
