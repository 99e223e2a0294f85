"""Baselines: what a new user gets elsewhere. Each scores the catalogue from the liked part of a support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import linalg

from model_store.data.episodes import Support

Scores = NDArray[np.float32]


def liked_matrix(support: Support, liked_at_least: float, n_items: int) -> sp.csr_array:
    """Binary (B, n_items): what each support liked."""
    user, place = np.nonzero((support.mask > 0) & (support.values >= liked_at_least))
    ones = np.ones(len(user), dtype=np.float32)
    return sp.csr_array((ones, (user, support.rows[user, place])), shape=(len(support.rows), n_items))


@dataclass(frozen=True)
class Popularity:
    """log((n_i + 1) / Σ), the same list for everybody."""

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
class CoCounts:
    """How many training users liked both of two items, over the items that most users liked.

    Attributes:
        kept: int64 (n_kept,), rows of the catalogue that are covered; the matrices below are dense.
        together: float32 (n_kept, n_kept), XᵀX of the liked matrix X; the diagonal counts the likes of an item.
        n_items: size of the whole catalogue.
    """

    kept: NDArray[np.int64]
    together: NDArray[np.float32]
    n_items: int

    @classmethod
    def count(cls, liked: sp.csr_array, max_items: int) -> CoCounts:
        """Restrict ``liked`` (n_users, n_items) to its ``max_items`` most liked items and count."""
        likes = np.asarray(liked.sum(0)).ravel()
        kept = np.sort(np.argsort(-likes, kind="stable")[:max_items])
        restricted = liked[:, kept]
        return cls(kept, (restricted.T @ restricted).toarray().astype(np.float32), liked.shape[1])


@dataclass(frozen=True)
class ItemItem:
    """A linear item-item model: scores = liked · weights on the items it covers, 0 on the others.

    Attributes:
        weights: float32 (n_kept, n_kept).
        kept: int64 (n_kept,), rows of the catalogue.
        n_items: size of the catalogue.
        liked_at_least: what counts as liked in a support.
    """

    weights: NDArray[np.float32]
    kept: NDArray[np.int64]
    n_items: int
    liked_at_least: float

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        liked = liked_matrix(support, self.liked_at_least, self.n_items)[:, self.kept]
        scores = np.zeros((len(support.rows), self.n_items), dtype=np.float32)
        scores[:, self.kept] = liked @ self.weights
        return scores


def item_knn(counts: CoCounts, shrinkage: float) -> NDArray[np.float32]:
    """Cosine similarity with shrinkage, n(i, j) / (√(n_i n_j) + shrinkage) (Sarwar et al. 2001)."""
    root = np.sqrt(np.diag(counts.together))
    weights = counts.together / np.maximum(np.outer(root, root) + np.float32(shrinkage), 1e-9)
    weights[np.diag_indices_from(weights)] = 0
    return weights.astype(np.float32)


def ease(counts: CoCounts, regularisation: float) -> NDArray[np.float32]:
    """EASE (Steck 2019, arXiv:1905.03375, eq. 8): B = I − P · diag(1 / diag P), P = (XᵀX + λI)⁻¹."""
    gram = counts.together.copy()
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
    weights: NDArray[np.float32] = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights


@dataclass(frozen=True)
class WithPopularity:
    """A baseline helped by the popularity prior: β · model + log popularity."""

    model: ItemItem
    popularity: Popularity
    beta: float

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        return np.float32(self.beta) * self.model.score(support) + self.popularity.log_popularity


@dataclass(frozen=True)
class ByShots:
    """Another tuned candidate at each k; supports of a batch have the same size."""

    candidates: dict[int, WithPopularity]

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items), from the candidate of the largest k not above the support's size."""
        shots = int(support.mask.sum(1).max())
        return self.candidates[max(k for k in self.candidates if k <= shots)].score(support)
