"""The inner loop: from a user's support to weights w by a few gradient steps, written out by hand.

With event vectors x, anchors A (learned points standing for the catalogue, so that the cost does not depend on
its size) and one weight c_e per event, the inner loss of a user is the softmax log-likelihood of its support,

    L(w) = −Σ_e c_e (w·x_e) + C · log Σ_a exp(w·A_a + b_a) + C/2 · λ·(w − w₀)²,      C = Σ_e |c_e|,

and step t of T goes  w ← w − α_t(k) ⊙ ∇L(w) / (1 + C)  from the meta-learned start w₀. With the events' weighted mean
x̄ = Σ_e c_e x_e / C and the anchor that w expects, E_w[A], that is

    w ← w − α_t(k) · C / (1 + C) ⊙ (E_w[A] + λ·w − (x̄ + λ·w₀)),

which takes few operators, and those are most of the cost of a call of the exported graph. Step sizes are learned per
step and coordinate (Meta-SGD, Li et al. 2017, arXiv:1707.09835) and modulated by log(1 + k); the gradient is second
order for the outer loop, since these steps are plain differentiable code (MAML, Finn et al. 2017,
arXiv:1703.03400). Event weights are learned per level of the value and decay with the event's age; events of
low value get a negative weight and push away.

Attributes of a user shift the start: w₀ = start + Σ_a weight_a · vector_a, with one learned vector per attribute, so
that the list before the first event is personal too.

All vectors are rows, (B, 1, S) or (B, 1, dim): one formula trains batches of users and serves them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model_store.meta.backbones.backbone import Backbone
from model_store.meta.supports import EventBatch, SupportBatch, log_shots

# Attribute vectors start at zero; small data sets give few outer steps, so their step is scaled up.
ATTRIBUTE_SCALE = 10.0
NO_WEIGHT = 1e-12  # avoids 0 / 0 where all event weights are 0; its square is still a float32


class Levels(nn.Module):
    """Piecewise linear functions of one variable, given by their values at a few knots and constant beyond them."""

    low: Tensor
    gap: Tensor

    def __init__(self, knots: Tensor) -> None:
        """Take at least two increasing knots, float32 (n_levels,)."""
        super().__init__()
        self.register_buffer("low", knots[:-1].clone())
        self.register_buffer("gap", knots.diff())

    def forward(self, at: Tensor, at_knots: Tensor) -> Tensor:
        """The function with values ``at_knots`` (n_levels,) at the knots, at ``at`` (B, 1, N), in the same shape."""
        climbed = ((at - self.low.unsqueeze(1)) / self.gap.unsqueeze(1)).clamp(0, 1)  # (B, n_levels − 1, N)
        values: Tensor = at_knots.diff().unsqueeze(0) @ climbed + at_knots[:1]
        return values


@dataclass(frozen=True)
class AdaptationSpec:
    """Everything that an adaptation is made from; each algorithm reads what it needs.

    Attributes:
        steps: gradient steps.
        anchors: float32 (n_anchors, dim), first positions of the anchors.
        levels: the scale of the feedback values.
        event_weight: float32 (n_levels,), first weight of an event of each level, e.g. −.3 … 1.
        n_attributes: attributes of users.
        backbone: from events to the vectors that the adaptation reads.
    """

    steps: int
    anchors: Tensor
    levels: Levels
    event_weight: Tensor
    n_attributes: int
    backbone: Backbone

    @property
    def dim(self) -> int:
        """Length of w and of an event's vector."""
        return self.anchors.shape[1]


class Adaptation(nn.Module, ABC):
    """From a support to the weights w by which the dense part scores items. Each algorithm has its own subclass."""

    def __init__(self, spec: AdaptationSpec) -> None:
        """Start every user at zero."""
        super().__init__()
        self.backbone = spec.backbone
        self.start = nn.Parameter(torch.zeros(spec.dim))
        # Data without attributes keeps one unused vector, so that the parameters have the same form.
        self.scaled_attributes = nn.Parameter(torch.zeros(max(spec.n_attributes, 1), spec.dim))

    def forward(self, supports: SupportBatch) -> Tensor:
        """Adapt a batch of users from their own starts; weights float32 (B, 1, dim)."""
        return self.adapt_from(self.user_start(supports), supports)

    def adapt_from(self, start: Tensor, supports: SupportBatch) -> Tensor:
        """Adapt a batch of users from ``start``, float32 (B or 1, 1, dim); weights float32 (B, 1, dim)."""
        events = supports.events._replace(vectors=self.backbone(supports.events, supports.mask))
        return self.adapt(events, supports.mask, start)

    def user_start(self, supports: SupportBatch) -> Tensor:
        """The start of each user, shifted by its attributes, float32 (B or 1, 1, dim)."""
        if supports.attribute_ids is None or supports.attribute_weights is None:
            return self.start.expand(1, 1, -1)
        vectors = nn.functional.embedding(supports.attribute_ids, self.attribute_vectors())
        return supports.attribute_weights.unsqueeze(-2) @ vectors + self.start

    def attribute_vectors(self) -> Tensor:
        """The shift of the start by each attribute, float32 (n_attributes or 1, dim)."""
        return ATTRIBUTE_SCALE * self.scaled_attributes

    @abstractmethod
    def adapt(self, events: EventBatch, mask: Tensor, start: Tensor) -> Tensor:
        """Weights w of each user, float32 (B, 1, dim).

        Args:
            events: with the backbone's vectors.
            mask: float32 (B, S), 1 for an event and 0 for padding.
            start: float32 (B or 1, 1, dim), the start of each user; w of a user without events.
        """


AdaptationType = Callable[[AdaptationSpec], Adaptation]


class Anchors(nn.Module):
    """Points that stand for the catalogue in the inner loss, each with a bias.

    Attributes:
        points: float32 (n_anchors, dim), A.
        bias: float32 (n_anchors, 1), b.
    """

    def __init__(self, points: Tensor, *, learned: bool) -> None:
        """Place the anchors; if they are not learned, they stay parameters, so that the running average has them."""
        super().__init__()
        self.points = nn.Parameter(points.clone(), requires_grad=learned)
        self.bias = nn.Parameter(torch.zeros(len(points), 1), requires_grad=learned)

    def forward(self, w: Tensor) -> Tensor:
        """The anchor that ``w`` (B, 1, dim) expects, E_w[A] = ∇_w log Σ_a exp(w·A_a + b_a), float32 (B, 1, dim).

        Everything stays 2-D (onnxruntime miscomputes Transpose(X) @ 1-D).
        """
        return torch.softmax(w @ self.points.T + self.bias.T, dim=-1) @ self.points


def descend(w: Tensor, gradient: Callable[[Tensor], Tensor], step_sizes: Iterable[Tensor]) -> Tensor:
    """Gradient descent written out: w ← w − α ⊙ gradient(w), one step for each of ``step_sizes``."""
    for step_size in step_sizes:
        w = w - step_size * gradient(w)
    return w


class InnerLoop(Adaptation):
    """The product's own adaptation, as the module's docstring states it."""

    def __init__(self, spec: AdaptationSpec) -> None:
        """Start from neutral step sizes."""
        super().__init__(spec)
        self.levels = spec.levels
        self.anchors = Anchors(spec.anchors, learned=True)
        self.event_weight = nn.Parameter(spec.event_weight.clone())
        self.rarity = nn.Parameter(torch.zeros(()))
        self.decay = nn.Parameter(torch.zeros(()))
        self.log_step = nn.Parameter(torch.full((spec.steps, spec.dim), 0.5))
        self.log_step_by_k = nn.Parameter(torch.zeros(spec.steps, spec.dim))
        self.log_pull = nn.Parameter(torch.full((spec.dim,), -3.0))

    def adapt(self, events: EventBatch, mask: Tensor, start: Tensor) -> Tensor:
        """The gradient steps from the start; see the base class."""
        return self._descend(events.vectors, self._event_weights(events, mask), log_shots(mask), start)

    def _event_weights(self, events: EventBatch, mask: Tensor) -> Tensor:
        """c_e of every event, (B, 1, S)."""
        values, ages, mask = (column.unsqueeze(-2) for column in (events.values, events.ages, mask))
        age_decay = nn.functional.softplus(self.decay - 4) * torch.log1p(ages)
        fading = torch.exp(-self.rarity * events.prior.mT - age_decay)
        by_value: Tensor = self.levels(values, self.event_weight)
        return by_value * fading * mask

    def _descend(self, support: Tensor, weights: Tensor, log_k: Tensor, start: Tensor) -> Tensor:
        """The gradient steps from each user's ``start``, (B, 1, dim)."""
        total = torch.linalg.vector_norm(weights, ord=1, dim=-1, keepdim=True)  # C, (B, 1, 1)
        pull = self.log_pull.exp()
        towards = weights / total.clamp(min=NO_WEIGHT) @ support + pull * start  # x̄ + λ·w₀, (B, 1, dim)
        step_sizes = torch.exp(self.log_step + self.log_step_by_k * log_k) * (total / (1 + total))  # (B, T, dim)

        def gradient(w: Tensor) -> Tensor:
            """∇L(w) / C."""
            away: Tensor = pull * w - towards
            expected_anchor: Tensor = self.anchors(w)
            return expected_anchor + away

        return descend(start, gradient, step_sizes.split(1, dim=-2))
