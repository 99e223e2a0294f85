"""The inner loop of rating prediction: squared loss on the support, a few steps from the learned start.

With item vectors x_e, and y_e the user's rating minus the mean and the item's bias, the inner loss is

    L(w) = 1/2 Σ_e (y_e − w·x_e)² + 1/2 (w − w₀)ᵀ Λ (w − w₀),

Λ diagonal and learned: ridge regression around the start, whose minimum (XᵀX + Λ)⁻¹ (Xᵀy + Λ w₀) enough steps reach.
Step t of T is  w ← w − α_t ⊙ ∇L(w) / (k + Λ), its sizes α_t learned per step and coordinate (Meta-SGD, Li et
al. 2017, arXiv:1707.09835) and modulated by the number of ratings k and by the share of ratings of new items.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FIRST_PULL = 4.0
# Keeps log(1 + k) of some hundred ratings near 1, so that its weight learns as fast as the others.
LOG_K_SCALE = 4.0


class SquaredLoop(nn.Module):
    """Ridge regression by a few learned gradient steps."""

    def __init__(self, dim: int, steps: int) -> None:
        """Start with steps of size 1, the same for every k.

        Args:
            dim: length of w.
            steps: gradient steps.
        """
        super().__init__()
        self.log_step = nn.Parameter(torch.zeros(steps, dim))
        self.log_step_by_k = nn.Parameter(torch.zeros(steps, dim))
        self.log_step_by_new = nn.Parameter(torch.zeros(steps, dim))
        self.log_pull = nn.Parameter(torch.full((dim,), math.log(FIRST_PULL)))

    def forward(self, start: Tensor, vectors: Tensor, residuals: Tensor, mask: Tensor, new: Tensor) -> Tensor:
        """Adapt a batch of users.

        Args:
            start: float32 (B, dim), w₀.
            vectors: float32 (B, S, dim), item vectors of the support.
            residuals: float32 (B, S), y.
            mask: float32 (B, S), 1 for a rating and 0 for padding.
            new: float32 (B, 1), share of the support's items without an id part, 0 … 1.

        Returns:
            float32 (B, dim), w after the last step.
        """
        k = mask.sum(1, keepdim=True)
        log_k = torch.log1p(k) / LOG_K_SCALE
        x, pull, w = vectors * mask.unsqueeze(-1), self.log_pull.exp(), start
        for step, by_k, by_new in zip(self.log_step, self.log_step_by_k, self.log_step_by_new, strict=True):
            errors = torch.bmm(x, w.unsqueeze(-1)) - (residuals * mask).unsqueeze(-1)  # (B, S, 1)
            gradient = torch.bmm(x.transpose(1, 2), errors).squeeze(-1) + pull * (w - start)
            w = w - torch.exp(step + by_k * log_k + by_new * new) * gradient / (k + pull)
        return w
