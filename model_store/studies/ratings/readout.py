"""Ordinal readout: from a score to a rating.

The mean absolute error is least at the median of a rating's distribution, and the mean squared error at its mean; with
five levels they lie up to half a level apart. So the model predicts the probability of each level, and its rating is
the median, which is always one of the levels. Proportional odds (McCullagh 1980, Regression Models for Ordinal Data):
P(rating > level l | z) = σ(s · (z − θ_l)), with increasing thresholds θ and one scale s.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FIRST_SCALE = 2.0
# With a smaller gap in logits, a level would almost vanish.
MIN_GAP = 1e-3
BEYOND = 1e4


class OrdinalReadout(nn.Module):
    """Likelihood and median of a rating, given the score z in the ratings' unit; 0 is average."""

    levels: Tensor

    def __init__(self, levels: NDArray[np.float32], counts: NDArray[np.int64]) -> None:
        """Start with thresholds at which z = 0 gives the levels' shares in training.

        Args:
            levels: float32 (L,), the scale's levels, increasing, at least two.
            counts: (L,), occurrences of each level in training.
        """
        super().__init__()
        above = 1 - torch.from_numpy((counts + 1.0) / (counts + 1.0).sum()).cumsum(0)[:-1]
        thresholds = (-torch.logit(above) / FIRST_SCALE).float()
        self.register_buffer("levels", torch.from_numpy(levels).float())
        self.first = nn.Parameter(thresholds[:1].clone())
        self.log_gaps = nn.Parameter(thresholds.diff().clamp(min=MIN_GAP).log())
        self.log_scale = nn.Parameter(torch.tensor(FIRST_SCALE).log())

    def thresholds(self) -> Tensor:
        """θ, float32 (L − 1,), increasing."""
        return torch.cat([self.first, self.first + (self.log_gaps.exp() + MIN_GAP).cumsum(0)])

    def loss(self, z: Tensor, values: Tensor) -> Tensor:
        """−log P(rating = value | z) in nats, shaped as ``z`` and ``values``; values are rounded down to a level."""
        level = (torch.searchsorted(self.levels, values.contiguous(), right=True) - 1).clamp(min=0)
        outer = torch.full((1,), BEYOND)
        bounds = torch.cat([-outer, self.thresholds(), outer])
        scale = self.log_scale.exp()
        low, high = scale * (z - bounds[level]), scale * (z - bounds[level + 1])
        # log(σ(a) − σ(b)) without cancellation, a > b
        inside = torch.log(-torch.expm1(high - low))
        return -(nn.functional.logsigmoid(low) + nn.functional.logsigmoid(-high) + inside)

    def median(self, z: Tensor) -> Tensor:
        """The level at which P(rating > level) falls below one half, in the shape of ``z``."""
        return self.levels[torch.searchsorted(self.thresholds(), z.contiguous())]
