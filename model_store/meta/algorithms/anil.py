"""ANIL with the step sizes of Meta-SGD: only the head adapts, each coordinate with a learned step size.

ANIL (Raghu et al. 2020, arXiv:1909.09157) found that MAML's inner loop needs to adapt the last layer only; here that is
w, over item vectors that stay as they are. Meta-SGD (Li et al. 2017, arXiv:1707.09835, eq. 3) learns the start together
with a vector α of step sizes, w ← w − α ⊙ ∇L(w), whose signs are free.
"""

from __future__ import annotations

import torch
from torch import nn

from model_store.meta.algorithms import maml
from model_store.meta.inner import AdaptationSpec
from model_store.meta.outer import Algorithm


class MetaSgd(maml.Descent):
    """The steps of MAML with a step size learned for each coordinate, float32 (dim,)."""

    def __init__(self, spec: AdaptationSpec) -> None:
        super().__init__(spec)
        self.step_size = nn.Parameter(torch.full((spec.dim,), maml.STEP_SIZE))


ALGORITHM = Algorithm(adaptation=MetaSgd, step=maml.step, prepare=maml.ALGORITHM.prepare)
