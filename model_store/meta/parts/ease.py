"""The linear memory: EASE's item-item weights, beside the conditional votes.

EASE (Steck 2019, arXiv:1905.03375) is the ridge regression of every item on all others. Its negative entries carry
information, so it votes linearly, and what it knows of long supports neither the adapted weights nor the
conditional votes hold: addend_i = share(k) · Σ_{e ∈ support, liked} B[e, i]. It is fitted, not learned: a user of the
training stands in its own regression, which then looks better than it is, so that its share is chosen on validation
users (see ``evaluation.calibration``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor, nn

from model_store.meta.inner import Share


def most_liked(liked: sp.csr_array, max_items: int) -> NDArray[np.int64]:
    """Rows of the ``max_items`` items that most users of ``liked`` (n_users, n_items) liked, increasing."""
    likes = np.asarray(liked.sum(0)).ravel()
    return np.sort(np.argsort(-likes, kind="stable")[:max_items])


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


def ease(counts: CoCounts, regularisation: float) -> NDArray[np.float32]:
    """EASE (Steck 2019, eq. 8): B = I − P · diag(1 / diag P), P = (XᵀX + λI)⁻¹, float32 (n_kept, n_kept)."""
    gram = counts.together.copy()
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
    weights: NDArray[np.float32] = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights


class LinearMemory(nn.Module):
    """Lists of the largest EASE weights of every item; empty until it is given some.

    Attributes:
        rows: int64 (n_items, M), items that an item votes for or against; unused places hold 0.
        weights: float32 (n_items, M), B[item, row]; unused places hold 0.
        share: how much of its votes counts.
    """

    rows: Tensor
    weights: Tensor

    def __init__(self, n_items: int, liked_at_least: float, share: Share) -> None:
        """Remember nothing yet; only events of at least ``liked_at_least`` will vote."""
        super().__init__()
        self.share, self.liked_at_least, self._n_items = share, liked_at_least, n_items
        self.register_buffer("rows", torch.zeros(n_items, 0, dtype=torch.int64), persistent=False)
        self.register_buffer("weights", torch.zeros(n_items, 0), persistent=False)

    def forget(self) -> None:
        """Become empty again."""
        self.rows, self.weights = self.rows[:, :0], self.weights[:, :0]

    def remember(self, counts: CoCounts, regularisation: float, neighbours: int) -> None:
        """Fit EASE on ``counts`` and keep the ``neighbours`` weights of each item that are furthest from 0."""
        fitted = torch.from_numpy(ease(counts, regularisation))
        width = min(neighbours, len(fitted))
        columns = fitted.abs().topk(width, dim=1).indices.sort(dim=1).values
        kept = torch.from_numpy(counts.kept)
        self.rows = torch.zeros(self._n_items, width, dtype=torch.int64).index_copy(0, kept, kept[columns])
        self.weights = torch.zeros(self._n_items, width).index_copy(0, kept, fitted.gather(1, columns))

    def addends(self, weights: Tensor, values: Tensor, shots: Tensor) -> Tensor:
        """What each listed item gets from each event, in the shape of ``weights``; an item's addends sum up.

        Args:
            weights: float32 (N, M), lists of N events.
            values: float32 (N, 1), feedback values.
            shots: float32 (N, 1), k of each event's user; 0 for an event that only stands in for none.
        """
        share: Tensor = self.share(torch.log1p(shots).mT).mT
        return share * (values >= self.liked_at_least) * shots.clamp(max=1) * weights

    def dense(self, support_rows: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Addends over the whole catalogue, float32 (B, n_items), of supports (B, S)."""
        batch, length = support_rows.shape
        shots = (mask * mask.sum(1, keepdim=True)).reshape(-1, 1)
        each = self.addends(self.weights[support_rows.reshape(-1)], values.reshape(-1, 1), shots)
        rows = self.rows[support_rows].flatten(1)
        return torch.zeros(batch, self._n_items).scatter_add(1, rows, each.reshape(batch, length * each.shape[1]))
