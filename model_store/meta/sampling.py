"""Entropy-guided sampling: the share of the long tail in the queries of the outer loop.

Without it, an item stands in queries in proportion to its likes n_i, so training mostly learns about
the head. Here every query item is drawn with the weight n_i^(−τ), which leaves the distribution q_i ∝ n_i^(1 − τ)
(the exponent that word2vec samples by, Mikolov et al. 2013, arXiv:1310.4546, section 2.2). The temperature τ is
solved for: the entropy H = −Σ q_i log q_i shall lie a share s of the way from that of the data to the uniform one over
the n items with likes,

    H(τ) = H(0) + s · (log n − H(0)),

and H grows from τ = 0 to 1, so bisection solves it. Every user is dealt one episode per epoch, and the draw acts on the
query items: the loss sums over those, so users who like the tail weigh more. Weighted sums instead of draws have the
same expectation and less variance.

Negatives need no sampling: the loss is a softmax over the full catalogue, so every other item competes in every step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.data.episodes import Episodes

BISECTIONS = 50

QueryMass = NDArray[np.float64]


@dataclass
class QueryDraw:
    """Weights of the items in queries, and their use since the epoch began.

    Attributes:
        weights: float32 (n_items,), weight of each item in a query; 1 on the average like, 0 without likes.
        temperature: τ.
        target: entropy to reach, in nats.
        drawn: float64 (n_items,), sum of each item's weights in the queries of this epoch.
    """

    weights: NDArray[np.float32]
    temperature: float
    target: float
    drawn: QueryMass

    def weigh(self, episodes: Episodes) -> NDArray[np.float32]:
        """The weights; the queries of ``episodes`` are added to ``drawn``."""
        items = episodes.rest[1][episodes.rest_liked]
        self.drawn += np.bincount(items, self.weights[items], minlength=len(self.weights))
        return self.weights

    def end_epoch(self) -> float:
        """Entropy of the items drawn, in nats; the next epoch begins."""
        epoch_entropy = entropy(self.drawn)
        self.drawn[:] = 0
        return epoch_entropy


def solve_temperature(likes: NDArray[np.float64], share: float) -> QueryDraw:
    """Find the temperature that brings the entropy ``share`` of the way to uniform.

    Args:
        likes: (n_items,), likes of each item among the training users, n_i; some above 0.
        share: s in 0 … 1; 0 leaves the data as it is.
    """
    liked = likes[likes > 0]
    of_data = entropy(liked)
    target = of_data + share * (np.log(len(liked)) - of_data)
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(liked ** (1 - middle)) < target else (low, middle)
    temperature = high if share else 0.0
    weights = np.zeros(len(likes))
    weights[likes > 0] = liked**-temperature
    scaled = (weights * likes.sum() / (weights @ likes)).astype(np.float32)
    return QueryDraw(scaled, temperature, float(target), np.zeros(len(likes)))


def entropy(masses: NDArray[np.float64]) -> float:
    """Shannon entropy in nats of the distribution ∝ ``masses`` (n,), all ≥ 0; 0 if all are 0."""
    shares = masses[masses > 0] / max(masses.sum(), np.finfo(np.float64).tiny)
    return float(-(shares * np.log(shares)).sum())
