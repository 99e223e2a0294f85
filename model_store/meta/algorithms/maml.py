"""MAML (Finn, Abbeel & Levine 2017, arXiv:1703.03400): learn a start from which plain gradient steps do well.

The inner loss is the mean negative log-likelihood of the liked events, under a softmax over the most popular items
standing for the catalogue; every step is w ← w − α ∇L(w) with one fixed α. The outer gradient goes through the
steps: d w_T / d w₀ holds second derivatives of L, ∏_t (I − α ∇²L(w_t)).

Only w adapts, because ``user_state`` is all that is stored per user.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model_store.config import TrainingConfig
from model_store.meta.inner import Adaptation, AdaptationSpec, Anchors, descend
from model_store.meta.network import Network
from model_store.meta.outer import Algorithm, Batch, Outer, episode_step
from model_store.meta.parts.prior import Prior
from model_store.meta.supports import LEARNED, PRIOR, EventBatch

# Where the default's learned step sizes begin, e^½.
STEP_SIZE = 1.65


class Descent(Adaptation):
    """A few steps from a learned start; subclasses give the step size."""

    liked: Tensor
    step_size: Tensor

    def __init__(self, spec: AdaptationSpec) -> None:
        super().__init__(spec)
        self.levels, self.steps = spec.levels, spec.steps
        self.anchors = Anchors(spec.anchors, learned=False)
        self.register_buffer("liked", (spec.event_weight >= 1).to(spec.anchors.dtype))

    def adapt(self, events: EventBatch, mask: Tensor, start: Tensor) -> Tensor:
        """The gradient steps; a user who liked nothing stays at the start."""
        weights = self.levels(events.values.unsqueeze(-2), self.liked) * mask.unsqueeze(-2)
        count = weights.sum(-1, keepdim=True)  # (B, 1, 1)
        mean = weights @ events.vectors / count.clamp(min=1)
        some = count.clamp(max=1)
        return descend(start, lambda w: self.gradient(w, mean, some), [self.step_size] * self.steps)

    def gradient(self, w: Tensor, mean: Tensor, some: Tensor) -> Tensor:
        """∇L(w) (B, 1, dim), from the mean liked vector (B, 1, dim) and whether there is one (B, 1, 1)."""
        expected_anchor: Tensor = self.anchors(w)
        return some * expected_anchor - mean


class PlainDescent(Descent):
    """Steps of one fixed size."""

    def __init__(self, spec: AdaptationSpec) -> None:
        super().__init__(spec)
        self.register_buffer("step_size", torch.tensor([STEP_SIZE]))


@torch.no_grad()
def copy_anchors(network: Network, anchors: Anchors) -> None:
    """Set ``anchors`` to the current vectors of the most popular items, with the prior as their bias."""
    vectors = network.encoder.vectors()
    popular = vectors[:, -1].argsort(descending=True, stable=True)[: len(anchors.points)]
    anchors.points.copy_(vectors[popular, LEARNED])
    anchors.bias.copy_(network.part(Prior).log_scale[0].exp() * vectors[popular, PRIOR])


def step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """An ordinary outer step; then the anchors follow the item vectors."""
    loss = episode_step(outer, batch, config)
    follow_items(outer.network)
    return loss


def follow_items(network: Network) -> None:
    """Let the anchors of a ``Descent`` follow the item vectors."""
    copy_anchors(network, network.adaptation(Descent).anchors)


ALGORITHM = Algorithm(adaptation=PlainDescent, step=step, prepare=lambda network, _: follow_items(network))
