"""Baselines that can rank items without history, tuned on validation users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.baselines.content_knn import ContentKNN, content_matrix, idf_weighted
from model_store.baselines.grids import Grid, Settings, Tuning, combinations
from model_store.baselines.popularity import Popularity
from model_store.baselines.tuning import Tuned, tune
from model_store.bundle import Support
from model_store.data.schema import Dataset
from model_store.evaluation.protocol import Recommender, Tasks
from model_store.meta.items.mapping import columns_of, fit_mapping, knowledge

GRID: Grid = {"rare_counts_more": (0, 1), "power": (1, 2, 4), "shrinkage": (0, 3)}


@dataclass(frozen=True)
class Random:
    """The floor: a random order for every user."""

    n_items: int
    rng: np.random.Generator

    def score(self, support: Support) -> NDArray[np.float32]:
        """Float32 (B, n_items)."""
        return self.rng.random((len(support.rows), self.n_items), dtype=np.float32)


@dataclass(frozen=True)
class NewItemTuner:
    """The data that the baselines are fitted on, and the validation tasks they are tuned on.

    Attributes:
        dataset: without the events of the held-out items.
        liked: (n_users, n_items), likes of the training users among the other items.
        held_out: bool (n_items,).
        validation: tasks of the validation users.
        seed: of the random order.
        on_step: called with the name of each candidate before it is fitted.
    """

    dataset: Dataset
    liked: sp.csr_array
    held_out: NDArray[np.bool_]
    validation: Tasks
    seed: int = 0
    on_step: Callable[[str], None] = lambda _: None

    def baselines(self) -> Iterator[tuple[str, Tuned]]:
        """Random order, popularity predicted from content, content-kNN, and the best mix of the two at each k."""
        yield "random", Tuned(Random(self.dataset.n_items, np.random.default_rng(self.seed)))
        popularity = self._popularity()
        yield "content popularity", Tuned(popularity, Tuning(note="log popularity regressed on the content"))
        flat = Popularity(np.zeros(self.dataset.n_items, dtype=np.float32))
        yield "content-kNN", self._content_knn(flat)
        yield "content-kNN + popularity", self._content_knn(popularity)

    def _popularity(self) -> Popularity:
        features, likes = content_matrix(self.dataset.features), np.asarray(self.liked.sum(0), dtype=np.float64)
        rows = np.flatnonzero(likes)
        targets = Popularity.fit(self.liked).log_popularity[rows, None].astype(np.float64)
        rng, columns = np.random.default_rng(self.seed), columns_of(self.dataset.features.names)
        mapping = fit_mapping(features[rows], targets, knowledge(likes[rows]), rng, columns)
        return Popularity(mapping(features)[:, 0].astype(np.float32))

    def _content_knn(self, popularity: Popularity) -> Tuned:
        note = "beta is its weight beside content popularity, if any"
        return tune(self._candidates(), popularity, self.validation, GRID, note)

    def _candidates(self) -> Iterator[tuple[Settings, Recommender]]:
        plain = content_matrix(self.dataset.features)
        weighted = {0: plain.astype(np.float32), 1: idf_weighted(plain).astype(np.float32)}
        candidates = np.flatnonzero(self.held_out)
        liked_at_least = self.dataset.feedback.liked_at_least
        for settings in combinations(GRID):
            self.on_step("content-kNN " + ", ".join(f"{key} {value:g}" for key, value in settings.items()))
            features = weighted[int(settings["rare_counts_more"])]
            yield settings, ContentKNN(features, candidates, settings["power"], settings["shrinkage"], liked_at_least)
