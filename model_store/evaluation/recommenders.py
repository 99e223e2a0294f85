"""The product's own model behind the protocol's interface: while it trains, and as it will be served."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.bundle import Catalogue, Graphs, Support
from model_store.meta.network import Network
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.prior import Prior
from model_store.meta.supports import SupportBatch


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


class DenseModel:
    """The adapted weights and the prior of a trained network, without its memories and before any calibration.

    It was trained beside the memories, so it is no model of its own; it shows what the adaptation contributes.
    """

    def __init__(self, network: Network) -> None:
        """Hold ``network``."""
        self._network = network.eval()

    @torch.no_grad()
    def score(self, support: Support) -> NDArray[np.float32]:
        """Scores float32 (B, n_items), the batch at once."""
        vectors = self._network.encoder.vectors()
        supports = SupportBatch.of(support, vectors)
        # The dense part's state is scaled by its calibrated weight, that of its adaptation is not.
        blocks = [self._network.part(Dense).adaptation(supports), self._network.part(Prior).state(supports)]
        states = torch.cat(blocks, dim=-1).squeeze(-2)
        scores: NDArray[np.float32] = (states @ vectors.T).numpy()
        return scores


class ServedModel:
    """Scores with ``adapt.onnx`` and ``vote.onnx``, so what is judged is what answers requests."""

    def __init__(self, graphs: Graphs, catalogue: Catalogue) -> None:
        """Hold one bundle's graphs and catalogue."""
        self._graphs, self._catalogue = graphs, catalogue

    def score(self, support: Support) -> NDArray[np.float32]:
        """Scores float32 (B, n_items) over the whole catalogue, without the quantised scan."""
        catalogue, graphs = self._catalogue, self._graphs
        states = graphs.adapt(catalogue.vectors[support.rows], support)
        scores: NDArray[np.float32] = states @ catalogue.vectors.T
        lengths = support.lengths
        if not lengths.any():
            return scores
        kept = support.mask > 0
        rows = support.rows[kept]
        votes = graphs.vote(
            catalogue.neighbour_rows[rows],
            catalogue.neighbour_weights[rows],
            support.values[kept],
            support.ages[kept],
            np.repeat(np.arange(len(support)), lengths),
            lengths.astype(np.float32),
        )
        np.add.at(scores, (votes.users, votes.rows), votes.values)
        return scores
