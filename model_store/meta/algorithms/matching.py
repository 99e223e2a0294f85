"""Matching networks (Vinyals et al. 2016, arXiv:1606.04080): attention over the support instead of gradient steps.

There, a prediction is the attention-weighted sum of the support's labels, ŷ = Σ_e a(x̂, x_e) y_e with a softmax a. Here
it must be linear in the item that is scored, so that one ``user_state`` ranks the catalogue: the attention looks
for what tells most about the user, and the labels weigh embedded items,

    w = w₀ + s(k) · Σ_e a_e y(value_e) G x_e,      a = softmax_e(q · x_e / √dim + b(value_e) − δ log(1 + age_e)),

with the query q, the embedding G, labels y and biases b by level of the value, the decay δ and the scale
s(k) = exp(s₀ + s₁ log(1 + k)) learned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model_store.meta.inner import Adaptation, Levels, Share, log_shots
from model_store.meta.outer import Algorithm, episode_step

# How far the default's steps go at first: four of e^½ each.
FIRST_LOG_SCALE = 2.0


class Matching(Adaptation):
    """Attention over the support; called like ``InnerLoop``, whose steps and anchors it does without."""

    def __init__(
        self,
        dim: int,
        steps: int,  # noqa: ARG002 - no gradient, no steps
        anchors: Tensor,  # noqa: ARG002 - nor anchors
        levels: Levels,
        liked: Tensor,
        share: Share,
        n_attributes: int = 0,
    ) -> None:
        super().__init__(dim, share, n_attributes)
        self.levels = levels
        self.query = nn.Parameter(torch.zeros(dim, 1))
        self.embedding = nn.Parameter(torch.eye(dim))
        self.label = nn.Parameter(liked.clone())
        self.attention_by_value = nn.Parameter(torch.zeros_like(liked))
        self.decay = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.tensor([FIRST_LOG_SCALE, 0.0]))

    def adapt(self, vectors: Tensor, values: Tensor, ages: Tensor, mask: Tensor, start: Tensor) -> Tensor:
        """The attention-weighted sum; without events, the start."""
        support = vectors[..., :-1]
        rows = [each.unsqueeze(-2) for each in (values, ages, mask)]
        weights = self.attention(support, *rows) * self.levels(rows[0], self.label)
        matched = weights @ support @ self.embedding.T
        moved: Tensor = torch.exp(self.log_scale[0] + self.log_scale[1] * log_shots(mask)) * matched
        return start + moved

    def attention(self, support: Tensor, values: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """a_e (B, 1, S), from rows like it, which sum to 1 over the events of a user, or to 0 where there are none."""
        by_vector = (support @ self.query).mT / math.sqrt(support.shape[-1])
        fading = nn.functional.softplus(self.decay - 4) * torch.log1p(ages)
        logits: Tensor = by_vector + self.levels(values, self.attention_by_value) - fading
        return torch.softmax(logits.masked_fill(mask == 0, -1e9), dim=-1) * mask


ALGORITHM = Algorithm(adaptation=Matching, step=episode_step)
