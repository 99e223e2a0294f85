"""Content-kNN: items ranked by their similarity to liked items, so that items without history are ranked too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.baselines.popularity import Scores, liked_matrix
from model_store.bundle import Support
from model_store.data.schema import ItemFeatures


@dataclass(frozen=True)
class ContentKNN:
    """Score of candidate i: Σ_{e liked} cos(f_i, f_e)^p · o / (o + s), where o is the number of features i and e share.

    The cosine is that of content vectors (Lops, de Gemmis & Semeraro 2011). The power p gives near items more weight
    than many far ones. The factor is significance weighting (Herlocker et al. 1999): few shared features prove little.

    Attributes:
        features: float32 (n_items, n_features), rows of norm 1 or 0.
        candidates: int64 (n_candidates,), rows to score; all others score 0.
        power: p.
        shrinkage: s.
        liked_at_least: value from which an event of a support counts as liked.
    """

    features: sp.csr_array
    candidates: NDArray[np.int64]
    power: float
    shrinkage: float
    liked_at_least: float

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        n_items = self.features.shape[0]
        liked = liked_matrix(support, self.liked_at_least, n_items)
        rows = np.unique(liked.indices)
        scores = np.zeros((len(support.rows), n_items), dtype=np.float32)
        scores[:, self.candidates] = liked[:, rows] @ self._similarity(rows)
        return scores

    def _similarity(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Float32 (n_rows, n_candidates)."""
        liked, candidates = self.features[rows], self.features[self.candidates]
        cosine = (liked @ candidates.T).toarray()
        overlap = ((liked != 0).astype(np.float32) @ (candidates != 0).astype(np.float32).T).toarray()
        similarity: NDArray[np.float32] = cosine**self.power * overlap / np.maximum(overlap + self.shrinkage, 1)
        return similarity


def content_matrix(features: ItemFeatures) -> sp.csr_array:
    """Features of all items, float64 (n_items, n_features)."""
    shape = (len(features.indptr) - 1, len(features.names))
    return sp.csr_array((features.weights.astype(np.float64), features.indices, features.indptr), shape=shape)


def idf_weighted(features: sp.csr_array) -> sp.csr_array:
    """Features weighted by inverse document frequency log(n_items / n_f) (Spärck Jones 1972), rows of norm 1 or 0."""
    n_items = features.shape[0]
    frequency = np.maximum((features != 0).sum(0), 1)
    weighted = sp.csr_array(features * np.log(n_items / frequency))
    norm = np.sqrt(weighted.multiply(weighted).sum(1))
    return sp.csr_array(weighted / np.where(norm > 0, norm, 1)[:, None])
