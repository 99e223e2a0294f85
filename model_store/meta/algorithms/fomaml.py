"""First-order MAML (Finn et al. 2017, arXiv:1703.03400, section 5.2): MAML without the second derivatives.

The inner gradients count as constants, so d w_T / d w₀ = I: the outer gradient of the start is the query's gradient
at the adapted weights.
"""

from __future__ import annotations

from torch import Tensor

from model_store.meta.algorithms import maml
from model_store.meta.outer import Algorithm


class FirstOrderDescent(maml.PlainDescent):
    """The steps of MAML, through which no gradient passes."""

    def gradient(self, w: Tensor, mean: Tensor, some: Tensor) -> Tensor:
        """∇L(w) as a constant."""
        return super().gradient(w, mean, some).detach()


ALGORITHM = Algorithm(adaptation=FirstOrderDescent, step=maml.step, prepare=maml.ALGORITHM.prepare)
