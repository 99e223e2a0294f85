"""The product's own model behind the protocol's interface: while it trains, and as it will be served."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.bundle import Catalogue, Graphs
from model_store.data.episodes import Support
from model_store.meta.network import Network


class TrainingModel:
    """A network in the middle of training."""

    def __init__(self, network: Network) -> None:
        """Hold ``network``; its parameters may change between calls."""
        self._network = network

    @torch.no_grad()
    def score(self, support: Support) -> NDArray[np.float32]:
        """Scores float32 (B, n_items), the batch at once."""
        self._network.eval()
        scores: NDArray[np.float32] = self._network(support).numpy()
        return scores


class ServedModel:
    """Scores with ``adapt.onnx`` and ``vote.onnx``, so what is judged is what answers requests."""

    def __init__(self, graphs: Graphs, catalogue: Catalogue) -> None:
        """Hold one bundle's graphs and catalogue."""
        self._graphs, self._catalogue = graphs, catalogue

    def score(self, support: Support) -> NDArray[np.float32]:
        """Scores float32 (B, n_items), user by user, in float32 over the whole catalogue."""
        return np.stack([self._score_user(support, user) for user in range(len(support.rows))])

    def _score_user(self, support: Support, user: int) -> NDArray[np.float32]:
        kept = support.mask[user] > 0
        if not kept.any():
            kept[-1] = True  # one masked place stands for no events
        rows = support.rows[user][kept]
        values, ages, mask = support.values[user][kept], support.ages[user][kept], support.mask[user][kept]
        catalogue = self._catalogue
        state = self._graphs.adapt(catalogue.vectors[rows], values, ages, mask)
        scores: NDArray[np.float32] = catalogue.vectors @ state
        lists, weights = catalogue.neighbour_rows[rows], catalogue.neighbour_weights[rows]
        np.add.at(scores, *self._graphs.vote(lists, weights, values, ages, mask))
        return scores
