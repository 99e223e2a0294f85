"""One verified bundle as the flows use it."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Histogram

from model_store.bundle import (
    NO_ATTRIBUTES,
    NO_SUPPORT,
    Addends,
    Attributes,
    Bundle,
    Catalogue,
    Manifest,
    ManifestCheck,
    Support,
    UserSupport,
    Value,
    open_bundle,
)
from service import telemetry
from service.batching import TickBatcher
from service.core.ports import EXCLUDED, NO_BIASES, Biases

# Users scored at once: the catalogue is read once for all of them. Beyond these nothing more is gained, as their scores
# fall out of the processor's caches.
MAX_TOGETHER = 8
MAX_SCORES = 4_000_000
# Users adapted at once: one costs six times what one of sixteen does, and with more there is little left to gain.
MAX_ADAPTED = 16

State = NDArray[np.float32]
Ranked = tuple[list[int], list[float]]
Asked = TypeVar("Asked")


class _Ranking(NamedTuple):
    """One user to rank for, as :meth:`Model.rank` takes it."""

    user_state: NDArray[np.float32]
    support: UserSupport
    biases: Biases
    length: int


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
        # A weak reference, because a model must not be part of a cycle: see server/memory.py. A caller that awaits a
        # rank holds the model.
        itself = weakref.proxy(self)
        self._to_rank: TickBatcher[_Ranking, Ranked] = TickBatcher(lambda asked: itself._rank_all(asked))  # noqa: SLF001, PLW0108 - bound when called, not before
        self._to_adapt: TickBatcher[UserSupport, State] = TickBatcher(lambda asked: itself._adapt_all(asked))  # noqa: SLF001, PLW0108 - likewise
        self._start: State = self._adapt_together([NO_SUPPORT])[0]
        one_event = UserSupport(np.zeros(1, np.int64), np.ones(1, np.float32), np.zeros(1, np.float32))
        stranger = _Ranking(self._start, one_event, NO_BIASES, 1)
        # As many as there will ever be, while the memory that the golden cases took is given back: what is taken now in
        # one piece serves any number of users.
        self._rank_together([stranger] * self._together)

    @classmethod
    def load(cls, folder: Path, threads: int, signed: ManifestCheck | None = None) -> Model:
        """Verify, load, prove and warm the bundle in ``folder``; raises BundleError."""
        return cls(open_bundle(folder, threads=threads, signed=signed))

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    async def adapt(self, support: UserSupport, attributes: Mapping[str, Value]) -> State:
        """The inner loop: ``user_state`` float32 (state_dim,). The starting point was computed once.

        Users asked for in one tick of the event loop adapt together; no bit of a state depends on the others.
        """
        support = support._replace(attributes=self.attributes.encode(attributes))
        if not support.shots and support.attributes is NO_ATTRIBUTES:
            return self._start
        return await self._to_adapt.submit(support)

    async def _adapt_all(self, asked: list[UserSupport]) -> list[State]:
        states: list[State] = []
        for run in _runs(asked, MAX_ADAPTED):
            started = time.perf_counter()
            states.extend(self._adapt_together(run))
            _observe(telemetry.adaptation, started, len(run))
        return states

    def _adapt_together(self, asked: list[UserSupport]) -> State:
        """States float32 (len(asked), state_dim)."""
        support = Support.of(asked)
        return self._graphs.adapt(self.catalogue.vectors[support.rows], support)

    async def rank(self, user_state: NDArray[np.float32], support: UserSupport, biases: Biases, count: int) -> Ranked:
        """The best ``count`` rows with their scores, best first; fewer where the catalogue is used up.

        Users asked for in one tick of the event loop are ranked together, which reads the catalogue once for all.

        Args:
            user_state: float32 (state_dim,), adapted with this bundle.
            support: the events whose neighbours vote.
            biases: added to the scores.
            count: length of the list.
        """
        return await self._to_rank.submit(_Ranking(user_state, support, biases, count))

    async def _rank_all(self, asked: list[_Ranking]) -> list[Ranked]:
        return [ranked for run in _runs(asked, self._together) for ranked in self._rank_together(run)]

    def _rank_together(self, asked: list[_Ranking]) -> list[Ranked]:
        started = time.perf_counter()
        states = np.concatenate([each.user_state for each in asked]).reshape(len(asked), -1)
        count = min(max(each.length for each in asked), self.manifest.limits.max_count)
        rows, scores = self._graphs.score(states, self._addends(asked), count)
        _observe(telemetry.scoring, started, len(asked))
        listed = zip(rows.tolist(), scores.tolist(), asked, strict=True)
        return [_without_excluded(its_rows, its_scores, each.length) for its_rows, its_scores, each in listed]

    def _addends(self, asked: list[_Ranking]) -> Addends:
        supports, biases = [each.support for each in asked], _biases(asked)
        rows = np.concatenate([support.rows for support in supports])
        if not len(rows):
            return biases
        values = np.concatenate([support.values for support in supports])
        ages = np.concatenate([support.ages for support in supports])
        users = np.arange(len(asked)).repeat([support.shots for support in supports])
        shots = np.array([support.shots for support in supports], dtype=np.float32)
        lists, weights = self.catalogue.neighbour_rows[rows], self.catalogue.neighbour_weights[rows]
        return self._graphs.vote(lists, weights, values, ages, users, shots) + biases


def _runs(asked: list[Asked], at_most: int) -> Iterator[list[Asked]]:
    """In runs of one size, as few as may be: one user alone takes half the time of four."""
    size = math.ceil(len(asked) / math.ceil(len(asked) / at_most))
    return (asked[first : first + size] for first in range(0, len(asked), size))


def _observe(histogram: Histogram, started: float, users: int) -> None:
    """Each user's share of the time since ``started``."""
    share = (time.perf_counter() - started) / users
    for _ in range(users):
        histogram.observe(share)


def _biases(asked: list[_Ranking]) -> Addends:
    rows = np.concatenate([each.biases.rows for each in asked])
    values = np.concatenate([each.biases.values for each in asked])
    return Addends(np.arange(len(asked)).repeat([len(each.biases.rows) for each in asked]), rows, values)


def _without_excluded(rows: list[int], scores: list[float], count: int) -> Ranked:
    """The first ``count`` places; excluded rows stand last."""
    length = min(count, len(rows))
    while length and scores[length - 1] == EXCLUDED:
        length -= 1
    return rows[:length], scores[:length]
