"""The control without meta-learning: the default's parameters, trained the ordinary way. Does meta-training itself pay?

Softmax matrix factorisation (the multinomial likelihood of Liang et al. 2018, arXiv:1802.05814, with a free vector for
each user): item vectors, gates and one w_u a training user are learned together on whole profiles,

    −Σ_u Σ_{i liked by u} log softmax_i(w_u · x + votes + prior) + λ/2 · n_u · |w_u − w₀|²,

which is the default's inner loss over the whole catalogue. A user never seen is served by the default's own gradient
steps: from the mean of the w_u, with the most popular items as anchors, the event weights and pull that every training
starts from, and the one step size that validation users like best. The w_u do not leave the training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from model_store.config import TrainingConfig
from model_store.data.episodes import Support
from model_store.data.schema import Events
from model_store.meta.algorithms.maml import copy_anchors
from model_store.meta.algorithms.reptile import whole_profiles
from model_store.meta.distributed import World
from model_store.meta.inner import InnerLoop, Levels, Share
from model_store.meta.network import Network
from model_store.meta.outer import Algorithm, Batch, Outer, Validate, vector_penalty

# Around the .5 that meta-training starts from.
LOG_STEPS = (-1.5, -0.5, 0.5, 1.5)


class JointLoop(InnerLoop):
    """The default's inner loop, and beside it a free vector for each training user, float32 (n_users, dim)."""

    users: nn.Parameter | None

    def __init__(
        self, dim: int, steps: int, anchors: Tensor, levels: Levels, liked: Tensor, share: Share, n_attributes: int = 0
    ) -> None:
        super().__init__(dim, steps, anchors, levels, liked, share, n_attributes)
        self.register_parameter("users", None)


def prepare(network: Network, training: Events) -> None:
    """Give each training user a vector."""
    inner = cast("JointLoop", network.inner)
    inner.users = nn.Parameter(torch.zeros(training.n_users, len(inner.start)))
    copy_anchors(network)


def factorisation_loss(
    w: Tensor, vectors: Tensor, offsets: Tensor, target: Tensor, prior: tuple[Tensor, Tensor]
) -> Tensor:
    """Softmax matrix factorisation of a batch of users, summed; a scalar.

    Args:
        w: float32 (B, dim), the users' vectors.
        vectors: float32 (n_items, dim).
        offsets: float32 (B, n_items), what else the scores hold.
        target: float32 (B, n_items), ones at what a user liked.
        prior: w₀ (dim,) and λ (dim,): where w is pulled to and how much.
    """
    likelihood = torch.log_softmax(w @ vectors.T + offsets, dim=1)
    towards, pull = prior
    distance = (pull * (w - towards).square()).sum(1, keepdim=True) * target.sum(1, keepdim=True)
    return distance.sum() / 2 - (likelihood * target).sum()


def step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """One step of ordinary training on whole profiles; the start and the anchors follow."""
    target = _liked(batch, outer.network.own_share.shape[0])
    if not target.any():
        return None
    own = replace(batch, users=batch.users[outer.world.own])
    loss = outer.go_down(_batch_loss(outer.network, own, target[outer.world.own], config, outer.world))
    _follow(outer.network)
    return loss


def _liked(batch: Batch, n_items: int) -> Tensor:
    """Ones at what each user of the batch liked, float32 (B, n_items)."""
    target = torch.zeros(len(batch.users), n_items)
    events = batch.events.select(batch.users)
    users = np.repeat(np.arange(events.n_users), events.lengths())
    liked = events.values >= batch.liked_at_least
    target[torch.from_numpy(users[liked]), torch.from_numpy(events.items[liked].astype(np.int64))] = 1.0
    return target


def _batch_loss(network: Network, batch: Batch, target: Tensor, config: TrainingConfig, world: World) -> Tensor:
    inner = cast("JointLoop", network.inner)
    profiles = whole_profiles(batch, config.max_support)
    w = cast("Tensor", inner.users)[torch.from_numpy(batch.users)]
    prior = (inner.start.detach(), inner.log_pull.detach().exp())
    dropped = nn.functional.dropout(w, config.dropout)
    vectors = network.encoder.vectors()[:, :-1]
    loss = factorisation_loss(dropped, vectors, _offsets(network, profiles, batch, target), target, prior)
    return loss / world.total(target.sum()) + vector_penalty(network, config) / world.size


def _offsets(network: Network, profiles: Support, batch: Batch, target: Tensor) -> Tensor:
    """Votes of the other events of each user, and the prior, (B, n_items)."""
    liked = torch.from_numpy((profiles.values >= batch.liked_at_least) & (profiles.mask > 0))
    parts = network.parts(profiles, own=target, support_liked=liked)
    return parts.votes + parts.prior


@torch.no_grad()
def _follow(network: Network) -> None:
    """What a new user is served from, as the training stands."""
    inner = cast("JointLoop", network.inner)
    inner.start.copy_(cast("Tensor", inner.users).mean(0))
    copy_anchors(network)


@torch.no_grad()
def settle(network: Network, validate: Validate) -> None:
    """Choose the step size by the validation users, and forget the vectors of the training users."""
    inner = cast("JointLoop", network.inner)
    inner.users = None
    scores = {}
    for log_step in LOG_STEPS:
        inner.log_step.fill_(log_step)
        scores[log_step] = validate(network)
    inner.log_step.fill_(max(scores, key=scores.__getitem__))


ALGORITHM = Algorithm(adaptation=JointLoop, step=step, prepare=prepare, settle=settle)
