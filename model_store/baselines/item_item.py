"""Linear item-item models: item-kNN and EASE, both from co-occurrences of likes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.baselines.popularity import Scores, liked_matrix
from model_store.bundle import Support
from model_store.meta.parts.ease import CoCounts


@dataclass(frozen=True)
class ItemItem:
    """A linear item-item model: scores = liked · weights on the items it covers, 0 on the others.

    Attributes:
        weights: float32 (n_kept, n_kept).
        kept: int64 (n_kept,), rows of the catalogue.
        n_items: size of the catalogue.
        liked_at_least: value from which an event of a support counts as liked.
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
    root = np.sqrt(np.diag(counts.gram))
    weights = counts.gram / np.maximum(np.outer(root, root) + np.float32(shrinkage), 1e-9)
    weights[np.diag_indices_from(weights)] = 0
    return weights.astype(np.float32)
