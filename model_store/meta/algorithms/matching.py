"""Matching networks (Vinyals et al. 2016, arXiv:1606.04080): attention over the support instead of gradient steps.

There, a prediction is the attention-weighted sum of the support's labels, ŷ = Σ_e a(x̂, x_e) y_e with a softmax a. Here
it must be linear in the item that is scored, so that one ``user_state`` ranks the catalogue: the attention picks the
most telling events, and the labels weigh embedded items,

    w = w₀ + s(k) · Σ_e a_e y(value_e) G x_e,      a = softmax_e(q · x_e / √dim + b(value_e) − δ log(1 + age_e)),

with the query q, the embedding G, labels y and biases b by level of the value, the decay δ and the scale
s(k) = exp(s₀ + s₁ log(1 + k)) learned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model_store.meta.inner import Adaptation, AdaptationSpec
from model_store.meta.outer import Algorithm, episode_step
from model_store.meta.supports import EventBatch, log_shots

# The total length of the default's first steps: four of e^½ each.
FIRST_LOG_SCALE = 2.0


class Matching(Adaptation):
    """Attention over the support; it has no steps and no anchors."""

    def __init__(self, spec: AdaptationSpec) -> None:
        super().__init__(spec)
        self.levels = spec.levels
        self.query = nn.Parameter(torch.zeros(spec.dim, 1))
        self.embedding = nn.Parameter(torch.eye(spec.dim))
        self.label = nn.Parameter(spec.event_weight.clone())
        self.attention_by_value = nn.Parameter(torch.zeros_like(spec.event_weight))
        self.decay = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.tensor([FIRST_LOG_SCALE, 0.0]))

    def adapt(self, events: EventBatch, mask: Tensor, start: Tensor) -> Tensor:
        """The attention-weighted sum; without events, the start."""
        values = events.values.unsqueeze(-2)
        weights = self.attention(events, mask) * self.levels(values, self.label)
        matched = weights @ events.vectors @ self.embedding.T
        moved: Tensor = torch.exp(self.log_scale[0] + self.log_scale[1] * log_shots(mask)) * matched
        return start + moved

    def attention(self, events: EventBatch, mask: Tensor) -> Tensor:
        """a_e, float32 (B, 1, S); the sum over a user's events is 1, or 0 without events."""
        values, ages, mask = (column.unsqueeze(-2) for column in (events.values, events.ages, mask))
        by_vector = (events.vectors @ self.query).mT / math.sqrt(events.vectors.shape[-1])
        fading = nn.functional.softplus(self.decay - 4) * torch.log1p(ages)
        logits: Tensor = by_vector + self.levels(values, self.attention_by_value) - fading
        return torch.softmax(logits.masked_fill(mask == 0, -1e9), dim=-1) * mask


ALGORITHM = Algorithm(adaptation=Matching, step=episode_step)
