"""The linear memory: EASE's item-item weights, beside the conditional votes.

EASE (Steck 2019, arXiv:1905.03375) is the ridge regression of every item on all others. Its negative entries carry
information, so it votes linearly, and it knows of long supports what neither the adapted weights nor the conditional
votes hold: addend_i = weight(k) · Σ_{e ∈ support, liked} B[e, i]. It is fitted, not learned: a training user takes part
in the regression and makes it look better than it is, so its weight is chosen on validation users
(see ``learning.calibrate``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor

from model_store.meta.parts.part import FittedPart, Ingredients, ListPart, NeighbourLists, ScoringBatch, VotingEvents
from model_store.meta.statistics import Statistics

# Fitting takes a dense matrix of the items covered, and its inverse.
MAX_ITEMS = 6000


def most_liked(liked: sp.csr_array, max_items: int) -> NDArray[np.int64]:
    """Rows of the ``max_items`` items that most users of ``liked`` (n_users, n_items) liked, increasing."""
    likes = np.asarray(liked.sum(0)).ravel()
    return np.sort(np.argsort(-likes, kind="stable")[:max_items])


@dataclass(frozen=True)
class CoCounts:
    """Numbers of training users that liked both of two items, over the items that most users liked.

    Attributes:
        kept: int64 (n_kept,), rows of the catalogue that are covered; the matrix below is dense.
        gram: float32 (n_kept, n_kept), XᵀX of the liked matrix X; the diagonal counts the likes of an item.
        n_items: size of the whole catalogue.
    """

    kept: NDArray[np.int64]
    gram: NDArray[np.float32]
    n_items: int

    @classmethod
    def count(cls, liked: sp.csr_array, max_items: int) -> CoCounts:
        """Restrict ``liked`` (n_users, n_items) to its ``max_items`` most liked items and count."""
        kept = most_liked(liked, max_items)
        restricted = liked[:, kept]
        return cls(kept, (restricted.T @ restricted).toarray().astype(np.float32), liked.shape[1])


def ease(counts: CoCounts, regularisation: float) -> NDArray[np.float32]:
    """EASE (Steck 2019, eq. 8): B = I − P · diag(1 / diag P), P = (XᵀX + λI)⁻¹, float32 (n_kept, n_kept)."""
    gram = counts.gram.copy()
    gram[np.diag_indices_from(gram)] += regularisation
    inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
    weights: NDArray[np.float32] = inverse / -np.diag(inverse)
    weights[np.diag_indices_from(weights)] = 0
    return weights


class EaseMemory(ListPart, FittedPart):
    """Lists of the largest EASE weights of every item, B[item, row]; empty until it is fitted."""

    name: ClassVar[str] = "linear"
    title: ClassVar[str] = "linear memory"
    weights: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
    regularisations: ClassVar[tuple[float, ...]] = (30.0, 100.0, 300.0, 1000.0)

    def __init__(self, n_items: int, liked_at_least: float, neighbours: int, shots: tuple[int, ...]) -> None:
        """Start empty.

        Args:
            n_items: rows of the catalogue.
            liked_at_least: value from which on an event votes.
            neighbours: length of a list, at most.
            shots: the k at which the weight will be chosen.
        """
        empty = NeighbourLists(torch.zeros(n_items, 0, dtype=torch.int64), torch.zeros(n_items, 0))
        super().__init__(shots, empty)
        self.liked_at_least, self.neighbours = liked_at_least, neighbours

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """An empty memory."""
        n_items, neighbours = ingredients.encoder.n_items, ingredients.config.neighbours
        return cls(n_items, ingredients.liked_at_least, neighbours, ingredients.shots)

    def clear(self) -> None:
        """Make the memory empty again."""
        self.replace_lists(NeighbourLists(self.rows[:, :0], self.list_weights[:, :0]))

    def fitter(self, statistics: Statistics) -> Callable[[float], None]:
        """Count the likes of the most liked items once, for any number of regularisations."""
        counts = CoCounts.count(statistics.liked, MAX_ITEMS)
        return lambda regularisation: self.fit(counts, regularisation)

    def fit(self, counts: CoCounts, regularisation: float) -> None:
        """Fit EASE to ``counts`` and keep the ``neighbours`` weights of each item that are furthest from 0."""
        fitted = torch.from_numpy(ease(counts, regularisation))
        width = min(self.neighbours, len(fitted))
        columns = fitted.abs().topk(width, dim=1).indices.sort(dim=1).values
        kept = torch.from_numpy(counts.kept)
        rows = torch.zeros(self.n_items, width, dtype=torch.int64).index_copy(0, kept, kept[columns])
        weights = torch.zeros(self.n_items, width).index_copy(0, kept, fitted.gather(1, columns))
        self.replace_lists(NeighbourLists(rows, weights))

    def scores(self, batch: ScoringBatch) -> Tensor:
        """Addends over the whole catalogue."""
        return self.dense(batch.rows, batch.supports.events.values, batch.supports.mask)

    def dense(self, support_rows: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Addends over the whole catalogue, float32 (B, n_items), of supports (B, S)."""
        batch, length = support_rows.shape
        shots = (mask * mask.sum(1, keepdim=True)).reshape(-1, 1)
        by_event = self._addends(self.list_weights[support_rows.reshape(-1)], values.reshape(-1, 1), shots)
        rows = self.rows[support_rows].flatten(1)
        addends = by_event.reshape(batch, length * by_event.shape[1])
        return torch.zeros(batch, self.n_items).scatter_add(1, rows, addends)

    def addends(self, lists: NeighbourLists, events: VotingEvents) -> Tensor:
        """The addend of each listed item from each event, float32 (E, M); those of several events are summed."""
        return self._addends(lists.weights, events.values.unsqueeze(1), events.shots_of_user().unsqueeze(1))

    def _addends(self, list_weights: Tensor, values: Tensor, shots: Tensor) -> Tensor:
        """Addends of N lists, (N, M); ``values`` and ``shots`` are (N, 1), with k = 0 for padding."""
        weight: Tensor = self.weight(torch.log1p(shots).mT).mT
        return weight * (values >= self.liked_at_least) * shots.clamp(max=1) * list_weights
