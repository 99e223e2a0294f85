"""Popularity, by itself and as a part of every other baseline: β · model + log popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.bundle import Support
from model_store.evaluation.protocol import Recommender

Scores = NDArray[np.float32]


def liked_matrix(support: Support, liked_at_least: float, n_items: int) -> sp.csr_array:
    """Ones at the liked items of each support, (B, n_items)."""
    user, position = np.nonzero((support.mask > 0) & (support.values >= liked_at_least))
    ones = np.ones(len(user), dtype=np.float32)
    return sp.csr_array((ones, (user, support.rows[user, position])), shape=(len(support.rows), n_items))


@dataclass(frozen=True)
class Popularity:
    """log((n_i + 1) / Σ), the same list for every user."""

    log_popularity: NDArray[np.float32]

    @classmethod
    def fit(cls, liked: sp.csr_array) -> Popularity:
        """Count the users that liked each item."""
        counts = np.asarray(liked.sum(0), dtype=np.float64).ravel()
        return cls(np.log((counts + 1) / counts.sum()).astype(np.float32))

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        return np.tile(self.log_popularity, (len(support.rows), 1))


@dataclass(frozen=True)
class WithPopularity:
    """A baseline beside popularity: β · model + log popularity."""

    model: Recommender
    popularity: Popularity
    beta: float

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        return np.float32(self.beta) * self.model.score(support) + self.popularity.log_popularity


@dataclass(frozen=True)
class ByShots:
    """The tuned candidate of each k; supports of a batch have the same size."""

    candidates: dict[int, WithPopularity]

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items), from the candidate of the largest k not above the support's size."""
        shots = int(support.mask.sum(1).max())
        return self.candidates[max(k for k in self.candidates if k <= shots)].score(support)
