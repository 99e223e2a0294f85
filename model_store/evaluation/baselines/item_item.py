"""Linear item-item models: item-kNN and EASE, both out of how often two items were liked together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import linalg

from model_store.data.episodes import Support
from model_store.evaluation.baselines.popularity import Scores, liked_matrix, most_liked


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
        kept = most_liked(liked, max_items)
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
