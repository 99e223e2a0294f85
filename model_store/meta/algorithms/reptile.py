"""Reptile (Nichol, Achiam & Schulman 2018, arXiv:1803.02999): move the start towards the users' adapted weights.

Each user of a batch descends from the start on all of its events, without a split into support and query, and the start
moves by w₀ ← w₀ + ε · mean_u(w_T(u) − w₀) (algorithm 2). No gradient passes through the steps.

The item vectors and the weights of votes are shared by all users, so Reptile has no step for them: they follow the
first-order gradient of the episodes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model_store.bundle import Support
from model_store.config import TrainingConfig
from model_store.data.episodes import pack_support
from model_store.meta.algorithms import maml
from model_store.meta.algorithms.fomaml import FirstOrderDescent
from model_store.meta.inner import AdaptationSpec
from model_store.meta.network import Network
from model_store.meta.outer import Algorithm, Batch, Outer
from model_store.meta.parts.dense import Dense
from model_store.meta.supports import SupportBatch

OUTER_STEP = 0.1  # ε


class ReptileDescent(FirstOrderDescent):
    """The steps of first-order MAML from a start that no gradient moves."""

    def __init__(self, spec: AdaptationSpec) -> None:
        super().__init__(spec)
        self.start.requires_grad = False


def moved(start: Tensor, adapted: Tensor, outer_step: float) -> Tensor:
    """``start`` (dim,) moved towards the mean of ``adapted`` (B, dim) by the share ``outer_step`` of the way."""
    return start + outer_step * (adapted.mean(0) - start)


def whole_profiles(batch: Batch, max_events: int) -> Support:
    """All events of each user of the batch, the most recent ``max_events`` of them."""
    runs = [batch.events.user(int(user)) for user in batch.users]
    return pack_support(batch.events, [np.arange(run.start, run.stop) for run in runs], limit=max_events)


@torch.no_grad()
def adapted_weights(network: Network, profiles: Support) -> Tensor:
    """Weights w of each user after its descent on ``profiles``, float32 (B, dim)."""
    adaptation = network.part(Dense).adaptation
    supports = SupportBatch.of(profiles, network.encoder.vectors())
    start = adaptation.start.expand(len(profiles.rows), 1, -1)
    return adaptation.adapt_from(start, supports).squeeze(-2)


def step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """The gradient step of all that users share, then the start's own."""
    loss = maml.step(outer, batch, config)
    adaptation = outer.network.adaptation(ReptileDescent)
    adapted = adapted_weights(outer.network, whole_profiles(batch, config.max_support))
    adaptation.start.copy_(moved(adaptation.start, adapted, OUTER_STEP))
    return loss


ALGORITHM = Algorithm(adaptation=ReptileDescent, step=step, prepare=maml.ALGORITHM.prepare)
