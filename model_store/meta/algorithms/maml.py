"""MAML (Finn, Abbeel & Levine 2017, arXiv:1703.03400): learn a start from which plain gradient steps do well.

The inner loss is the mean negative log-likelihood of the liked events, under a softmax over the most popular items
standing for the catalogue; every step is w ← w − α ∇L(w) with one fixed α. The outer gradient goes through the
steps: d w_T / d w₀ holds second derivatives of L, ∏_t (I − α ∇²L(w_t)).

What adapts to a user is w alone, since only ``user_state`` is a user's own when it is served.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from model_store.config import TrainingConfig
from model_store.meta.inner import Adaptation, Levels, Share, descend, expected_anchor
from model_store.meta.network import Network
from model_store.meta.outer import Algorithm, Batch, Outer, episode_step

# Where the default's learned step sizes begin, e^½.
STEP_SIZE = 1.65


class PlainDescent(Adaptation):
    """A few steps of one size from a learned start; called like ``InnerLoop``."""

    liked: Tensor
    step_size: Tensor

    def __init__(
        self, dim: int, steps: int, anchors: Tensor, levels: Levels, liked: Tensor, share: Share, n_attributes: int = 0
    ) -> None:
        super().__init__(dim, share, n_attributes)
        self.levels, self.steps = levels, steps
        # Copies of item vectors, not learned; parameters, so that the running average follows them.
        self.anchors = nn.Parameter(anchors.clone(), requires_grad=False)
        self.anchor_bias = nn.Parameter(torch.zeros(len(anchors), 1), requires_grad=False)
        self.register_buffer("step_size", torch.tensor([STEP_SIZE]))
        self.register_buffer("liked", (liked >= 1).to(anchors.dtype))

    def adapt(self, vectors: Tensor, values: Tensor, ages: Tensor, mask: Tensor, start: Tensor) -> Tensor:  # noqa: ARG002 - plain: age does not count
        """The gradient steps; a user who liked nothing stays at the start."""
        weights = self.levels(values.unsqueeze(-2), self.liked) * mask.unsqueeze(-2)
        count = weights.sum(-1, keepdim=True)  # (B, 1, 1)
        mean = weights @ vectors[..., :-1] / count.clamp(min=1)
        some = count.clamp(max=1)
        return descend(start, lambda w: self.gradient(w, mean, some), [self.step_size] * self.steps)

    def gradient(self, w: Tensor, mean: Tensor, some: Tensor) -> Tensor:
        """∇L(w) (B, 1, dim), from the mean liked vector (B, 1, dim) and whether there is one (B, 1, 1)."""
        return some * expected_anchor(w, self.anchors, self.anchor_bias) - mean


@torch.no_grad()
def copy_anchors(network: Network) -> None:
    """Let the anchors be the vectors of the most popular items, as they are now, with the prior as their bias."""
    inner = cast("PlainDescent", network.inner)
    vectors = network.encoder.vectors()
    popular = vectors[:, -1].argsort(descending=True, stable=True)[: len(inner.anchors)]
    inner.anchors.copy_(vectors[popular, :-1])
    inner.anchor_bias.copy_(inner.log_prior_scale[0].exp() * vectors[popular, -1:])


def step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """An ordinary outer step; then the anchors follow the item vectors."""
    loss = episode_step(outer, batch, config)
    copy_anchors(outer.network)
    return loss


ALGORITHM = Algorithm(adaptation=PlainDescent, step=step, prepare=lambda network, _: copy_anchors(network))
