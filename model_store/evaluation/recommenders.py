"""The product's own model behind the protocol's interface: while it trains, and as it will be served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.bundle import AllowedRows, RankRequest, Runtime, Support, exclusion
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
    """A bundle, ranked by the runtime that answers requests: the lists of ``score.onnx``, int8 scan included."""

    def __init__(self, runtime: Runtime) -> None:
        """Hold the runtime of one bundle."""
        self._runtime = runtime

    def rank(
        self,
        support: Support,
        masked: Sequence[NDArray[np.int32]],
        subsets: Sequence[NDArray[np.bool_] | None],
        depth: int,
    ) -> list[NDArray[np.int64]]:
        """See ``protocol.Ranker``."""
        users, n_items = list(support.users()), len(self._runtime.catalogue)
        states = self._runtime.adapt(users)
        biases = [exclusion(rows.astype(np.int64)) for rows in masked]
        depth, by_subset = min(depth, n_items), []
        for subset in subsets:
            allowed = None if subset is None else AllowedRows(subset)
            requests = [RankRequest(*user, depth, allowed) for user in zip(states, users, biases, strict=True)]
            lists = [_filled(ranked.rows, depth, n_items) for ranked in self._runtime.rank(requests)]
            by_subset.append(np.array(lists, dtype=np.int64))
        return by_subset


def _filled(rows: list[int], depth: int, n_items: int) -> list[int]:
    """``rows``, and rows that the list excludes in the order of the catalogue, up to ``depth``."""
    if len(rows) == depth:
        return rows
    excluded = np.setdiff1d(np.arange(n_items), rows)
    return [*rows, *excluded[: depth - len(rows)].tolist()]
