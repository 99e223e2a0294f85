"""One verified bundle as the flows use it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle, Catalogue, Manifest, open_bundle
from service import telemetry
from service.core.support import NO_SUPPORT, Support

EXCLUDED = np.float32(-np.inf)


class Model:
    """Adapts and ranks with one bundle; stateless beyond it, so safe to share and to drop.

    Attributes:
        manifest: what the bundle says of itself.
        catalogue: its items.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Warm the graphs once, so that the first user does not pay for it."""
        self.manifest: Manifest = bundle.manifest
        self.catalogue: Catalogue = bundle.catalogue
        self._graphs = bundle.graphs
        self.rank(self.adapt(NO_SUPPORT), NO_SUPPORT, np.zeros(0, dtype=np.int64), 1)

    @classmethod
    def load(cls, folder: Path, threads: int) -> Model:
        """Verify, load, prove and warm the bundle in ``folder``; raises BundleError."""
        return cls(open_bundle(folder, threads=threads))

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    def adapt(self, support: Support) -> NDArray[np.float32]:
        """The inner loop: ``user_state`` float32 (state_dim,)."""
        with telemetry.adaptation.time():
            vectors = self.catalogue.vectors[support.rows]
            return self._graphs.adapt(vectors, support.values, support.ages, support.mask)

    def rank(
        self, user_state: NDArray[np.float32], support: Support, excluded: NDArray[np.int64], count: int
    ) -> tuple[list[int], list[float]]:
        """The best ``count`` rows with their scores, best first; fewer where the catalogue is used up.

        Args:
            user_state: float32 (state_dim,), adapted with this bundle.
            support: the events whose neighbours vote.
            excluded: int64 (E,), rows that must not be in the list.
            count: length of the list.
        """
        with telemetry.scoring.time():
            lists, weights = self.catalogue.neighbour_rows, self.catalogue.neighbour_weights
            vote_rows, votes = self._graphs.vote(
                lists[support.rows], weights[support.rows], support.values, support.ages, support.mask
            )
            addend_rows = np.concatenate([vote_rows, excluded])
            addends = np.concatenate([votes, np.full(len(excluded), EXCLUDED)])
            count = min(count, self.manifest.limits.max_count)
            rows, scores = self._graphs.score(user_state, addend_rows, addends, count)
        kept = scores > EXCLUDED
        return rows[kept].tolist(), scores[kept].tolist()
