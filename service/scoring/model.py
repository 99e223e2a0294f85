"""One verified bundle as the flows use it."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Addends, Attributes, Bundle, Catalogue, Manifest, ManifestCheck, Value, open_bundle
from service import telemetry
from service.core.support import NO_SUPPORT, Support
from service.ticks import Ticks

EXCLUDED = np.float32(-np.inf)
# Users scored at once: the catalogue is read once for all of them. Beyond these their scores fall out of the cache
# and nothing more is gained.
MAX_TOGETHER = 4
MAX_SCORES = 4_000_000

Ranked = tuple[list[int], list[float]]


@dataclass(frozen=True, slots=True)
class _Ranking:
    """One user to rank for, as :meth:`Model.rank` takes it."""

    user_state: NDArray[np.float32]
    support: Support
    excluded: NDArray[np.int64]
    count: int


class Model:
    """Adapts and ranks with one bundle; stateless beyond it, so safe to share and to drop.

    Attributes:
        manifest: what the bundle says of itself.
        catalogue: its items.
        attributes: the attributes of users that it knows.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Warm the graphs once, so that the first user does not pay for it."""
        self.manifest: Manifest = bundle.manifest
        self.catalogue: Catalogue = bundle.catalogue
        self.attributes: Attributes = bundle.attributes
        self._graphs = bundle.graphs
        self._together = max(1, min(MAX_TOGETHER, MAX_SCORES // len(self.catalogue)))
        # Weakly: a model that holds itself would outlive its replacement, since nothing collects cycles while serving.
        # Whoever waits for a rank holds the model.
        itself = weakref.proxy(self)
        self._ticks: Ticks[_Ranking, Ranked] = Ticks(lambda asked: itself._rank_all(asked))  # noqa: SLF001, PLW0108 - bound when called, not before
        nothing = np.zeros(0, dtype=np.int64)
        self._rank_together([_Ranking(self.adapt(NO_SUPPORT, {}), NO_SUPPORT, nothing, 1)])

    @classmethod
    def load(cls, folder: Path, threads: int, signed: ManifestCheck | None = None) -> Model:
        """Verify, load, prove and warm the bundle in ``folder``; raises BundleError."""
        return cls(open_bundle(folder, threads=threads, signed=signed))

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    def adapt(self, support: Support, attributes: Mapping[str, Value]) -> NDArray[np.float32]:
        """The inner loop: ``user_state`` float32 (state_dim,)."""
        with telemetry.adaptation.time():
            vectors, known = self.catalogue.vectors[support.rows], self.attributes.encode(attributes)
            return self._graphs.adapt(vectors, support.values, support.ages, support.mask, known)

    async def rank(
        self, user_state: NDArray[np.float32], support: Support, excluded: NDArray[np.int64], count: int
    ) -> Ranked:
        """The best ``count`` rows with their scores, best first; fewer where the catalogue is used up.

        Users asked for in one tick of the event loop are ranked together, which reads the catalogue once for all.

        Args:
            user_state: float32 (state_dim,), adapted with this bundle.
            support: the events whose neighbours vote.
            excluded: int64 (E,), rows that must not be in the list.
            count: length of the list.
        """
        return await self._ticks.submit(_Ranking(user_state, support, excluded, count))

    async def _rank_all(self, asked: list[_Ranking]) -> list[Ranked]:
        runs = [asked[first : first + self._together] for first in range(0, len(asked), self._together)]
        return [ranked for run in runs for ranked in self._rank_together(run)]

    def _rank_together(self, asked: list[_Ranking]) -> list[Ranked]:
        started = time.perf_counter()
        states = np.stack([each.user_state for each in asked])
        count = min(max(each.count for each in asked), self.manifest.limits.max_count)
        rows, scores = self._graphs.score(states, self._votes(asked) + _exclusions(asked), count)
        ranked = [_listed(rows[user, : each.count], scores[user, : each.count]) for user, each in enumerate(asked)]
        share = (time.perf_counter() - started) / len(asked)
        for _ in asked:
            telemetry.scoring.observe(share)
        return ranked

    def _votes(self, asked: list[_Ranking]) -> Addends:
        supports = [each.support for each in asked]
        rows, values, ages = (
            np.concatenate([getattr(support, name) for support in supports]) for name in ("rows", "values", "ages")
        )
        users = np.repeat(np.arange(len(asked)), [len(support.rows) for support in supports])
        shots = np.array([support.mask.sum() for support in supports], dtype=np.float32)
        lists, weights = self.catalogue.neighbour_rows[rows], self.catalogue.neighbour_weights[rows]
        return self._graphs.vote(lists, weights, values, ages, users, shots)


def _exclusions(asked: list[_Ranking]) -> Addends:
    rows = np.concatenate([each.excluded for each in asked])
    users = np.repeat(np.arange(len(asked)), [len(each.excluded) for each in asked])
    return Addends(users, rows, np.full(len(rows), EXCLUDED))


def _listed(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Ranked:
    """Plain lists without the excluded rows, which stand last."""
    kept = int((scores > EXCLUDED).sum())
    return rows[:kept].tolist(), scores[:kept].tolist()
