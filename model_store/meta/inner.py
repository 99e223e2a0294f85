"""The inner loop: from a user's support to ``user_state`` by a few gradient steps, written out by hand.

With item vectors x, anchors A (learned points standing for the catalogue, so that the cost does not depend on
its size) and one weight c_e per event, the inner loss of a user is the softmax log-likelihood of its support,

    L(w) = −Σ_e c_e (w·x_e) + C · log Σ_a exp(w·A_a + b_a) + C/2 · λ·(w − w₀)²,      C = Σ_e |c_e|,

and step t of T goes  w ← w − α_t(k) ⊙ ∇L(w) / (1 + C)  from the meta-learned start w₀. With the events' weighted mean
x̄ = Σ_e c_e x_e / C and the anchor that w expects, E_w[A], that is

    w ← w − α_t(k) · C / (1 + C) ⊙ (E_w[A] + λ·w − (x̄ + λ·w₀)),

which takes few operators, and those are most of what a call of the exported graph costs. Step sizes are learned per
step and coordinate (Meta-SGD, Li et al. 2017, arXiv:1707.09835) and modulated by log(1 + k); the gradient is second
order for the outer loop, since these steps are plain differentiable code (MAML, Finn et al. 2017,
arXiv:1703.03400). Event weights are learned per level of the value and decay with the event's age; events of
low value get a negative weight and push away.

The start is the user's own where attributes of the user are known: w₀ = start + Σ_a weight_a · vector_a, with one
learned vector an attribute, so that the list before the first event is personal too.

All vectors are rows, (B, 1, S) or (B, 1, dim): one formula trains batches of users and serves them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

# Vectors of attributes start at zero and have far to go, where few outer steps are all that little data allows.
ATTRIBUTE_SCALE = 10.0
NO_WEIGHT = 1e-12  # keeps 0 / 0 away where no event weighs anything; its square is a float32 yet


class Levels(nn.Module):
    """Piecewise linear functions of one variable, given by what they are at a few knots and level beyond them."""

    low: Tensor
    gap: Tensor

    def __init__(self, knots: Tensor) -> None:
        """Take at least two increasing knots, float32 (n_levels,)."""
        super().__init__()
        self.register_buffer("low", knots[:-1].clone())
        self.register_buffer("gap", knots.diff())

    def forward(self, at: Tensor, at_knots: Tensor) -> Tensor:
        """The function that is ``at_knots`` (n_levels,) at the knots, at ``at`` (B, 1, N), in the same shape."""
        climbed = ((at - self.low.unsqueeze(1)) / self.gap.unsqueeze(1)).clamp(0, 1)  # (B, n_levels − 1, N)
        found: Tensor = at_knots.diff().unsqueeze(0) @ climbed + at_knots[:1]
        return found


class Share(nn.Module):
    """How much of one part of the score counts, by the number of events k; 1 everywhere until it is calibrated.

    It is not trained: the likelihood does not find what serves the ranking best, so it is chosen by the ranking metric
    on validation users, at a few k, and linear in log(1 + k) between them.
    """

    at_knots: Tensor

    def __init__(self, shots: tuple[int, ...]) -> None:
        """Take the k to choose at, at least two, increasing."""
        super().__init__()
        self.by_log_k = Levels(torch.tensor(shots, dtype=torch.float32).log1p())
        self.register_buffer("at_knots", torch.ones(len(shots)))

    def forward(self, log_k: Tensor) -> Tensor:
        """The share at log(1 + k), in the shape of ``log_k``, (B, 1, N)."""
        share: Tensor = self.by_log_k(log_k, self.at_knots)
        return share


def log_shots(mask: Tensor) -> Tensor:
    """log(1 + k) of each user, float32 (B, 1, 1), from ``mask`` (B, S)."""
    return torch.log1p(mask.unsqueeze(-2).sum(-1, keepdim=True))


def expected_anchor(w: Tensor, anchors: Tensor, bias: Tensor) -> Tensor:
    """E_w[A] = ∇_w log Σ_a exp(w·A_a + b_a), float32 (B, 1, dim).

    Everything stays 2-D (onnxruntime miscomputes Transpose(X) @ 1-D).

    Args:
        w: float32 (B, 1, dim).
        anchors: float32 (n_anchors, dim), A.
        bias: float32 (n_anchors, 1), b.
    """
    return torch.softmax(w @ anchors.T + bias.T, dim=-1) @ anchors


def descend(w: Tensor, gradient: Callable[[Tensor], Tensor], step_sizes: Iterable[Tensor]) -> Tensor:
    """Gradient descent written out: w ← w − α ⊙ gradient(w), one step for each of ``step_sizes``."""
    for step_size in step_sizes:
        w = w - step_size * gradient(w)
    return w


class Adaptation(nn.Module, ABC):
    """What every algorithm adapts with: support → ``user_state`` = [w (dim,), scale of the popularity prior (1,)].

    Item vectors have dim + 1 columns; the last is the log-popularity prior, so the dense score of an item is
    ``user_state · item_vector``. A subclass says how w comes about.
    """

    def __init__(self, dim: int, share: Share, n_attributes: int) -> None:
        """Start every user at zero.

        Args:
            dim: length of w.
            share: how much of w counts.
            n_attributes: attributes of users; without any, one that nobody has keeps the graph's form.
        """
        super().__init__()
        self.share = share
        self.start = nn.Parameter(torch.zeros(dim))
        self.scaled_attributes = nn.Parameter(torch.zeros(max(n_attributes, 1), dim))
        self.log_prior_scale = nn.Parameter(torch.zeros(3))

    def forward(
        self,
        vectors: Tensor,
        values: Tensor,
        ages: Tensor,
        mask: Tensor,
        attribute_ids: Tensor | None = None,
        attribute_weights: Tensor | None = None,
    ) -> Tensor:
        """Adapt a batch of users.

        Args:
            vectors: float32 (B, S, dim + 1), item vectors of the support.
            values: float32 (B, S), feedback values on the data's own scale.
            ages: float32 (B, S), days before the user's most recent event.
            mask: float32 (B, S), 1 for an event and 0 for padding.
            attribute_ids: int64 (B, A), what else is known about the users; None where nothing is of anybody.
            attribute_weights: float32 (B, A), 0 for padding.

        Returns:
            float32 (B, dim + 1).
        """
        log_k = log_shots(mask)
        w = self.adapt(vectors, values, ages, mask, self.own_start(attribute_ids, attribute_weights))
        log_scale = self.log_prior_scale[0] + log_k * (self.log_prior_scale[1] + self.log_prior_scale[2] * log_k)
        return torch.cat([self.share(log_k) * w, log_scale.exp()], dim=-1).squeeze(-2)

    def own_start(self, attribute_ids: Tensor | None, attribute_weights: Tensor | None) -> Tensor:
        """Where each user's adaptation starts, float32 (B or 1, 1, dim); arguments as for ``forward``."""
        if attribute_ids is None or attribute_weights is None:
            return self.start.expand(1, 1, -1)
        known = nn.functional.embedding(attribute_ids, self.attribute_vectors())
        return attribute_weights.unsqueeze(-2) @ known + self.start

    def attribute_vectors(self) -> Tensor:
        """What each attribute adds to the start, float32 (n_attributes or 1, dim)."""
        return ATTRIBUTE_SCALE * self.scaled_attributes

    @abstractmethod
    def adapt(self, vectors: Tensor, values: Tensor, ages: Tensor, mask: Tensor, start: Tensor) -> Tensor:
        """Weights w of each user before its share is taken, float32 (B, 1, dim).

        Args as for ``forward``, and ``start``: float32 (B, 1, dim), where each user's adaptation starts.
        """


class InnerLoop(Adaptation):
    """The product's own adaptation, as the module's docstring states it."""

    def __init__(
        self,
        dim: int,
        steps: int,
        anchors: Tensor,
        levels: Levels,
        liked: Tensor,
        share: Share,
        n_attributes: int = 0,
    ) -> None:
        """Start from neutral step sizes.

        Args:
            dim: length of w.
            steps: gradient steps.
            anchors: float32 (n_anchors, dim), first positions of the anchors.
            levels: the scale of the feedback values.
            liked: float32 (n_levels,), first event weight of each level, e.g. −.3 … 1.
            share: how much of w counts.
            n_attributes: attributes of users.
        """
        super().__init__(dim, share, n_attributes)
        self.levels = levels
        self.anchors = nn.Parameter(anchors.clone())
        self.anchor_bias = nn.Parameter(torch.zeros(len(anchors), 1))
        self.event_weight = nn.Parameter(liked.clone())
        self.rarity = nn.Parameter(torch.zeros(()))
        self.decay = nn.Parameter(torch.zeros(()))
        self.log_step = nn.Parameter(torch.full((steps, dim), 0.5))
        self.log_step_by_k = nn.Parameter(torch.zeros(steps, dim))
        self.log_pull = nn.Parameter(torch.full((dim,), -3.0))

    def adapt(self, vectors: Tensor, values: Tensor, ages: Tensor, mask: Tensor, start: Tensor) -> Tensor:
        """The gradient steps from the start; see the base class."""
        support, prior = vectors[..., :-1], vectors[..., -1:].mT
        weights = self._event_weights(prior, *(each.unsqueeze(-2) for each in (values, ages, mask)))
        return self._descend(support, weights, log_shots(mask), start)

    def _event_weights(self, prior: Tensor, values: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """c_e of every event; all (B, 1, S)."""
        fading = torch.exp(-self.rarity * prior - nn.functional.softplus(self.decay - 4) * torch.log1p(ages))
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
            return expected_anchor(w, self.anchors, self.anchor_bias) + away

        return descend(start, gradient, step_sizes.split(1, dim=-2))
