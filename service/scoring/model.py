"""One verified bundle: adapts to users and ranks for them, in batches."""

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

# Users per call of score.onnx, which reads the catalogue once for all of them. More users gain nothing, because their
# scores fall out of the processor's caches.
MAX_RANKED = 8
MAX_SCORES = 4_000_000
# Users per call of adapt.onnx: one alone takes six times as long as one of sixteen, and more gain little.
MAX_ADAPTED = 16

State = NDArray[np.float32]
Ranked = tuple[list[int], list[float]]
Request = TypeVar("Request")


class _RankRequest(NamedTuple):
    """The arguments of :meth:`BundleModel.rank`."""

    user_state: NDArray[np.float32]
    support: UserSupport
    biases: Biases
    k: int


class BundleModel:
    """Adapts and ranks with one bundle; a ``Model`` without state of its own, so requests share it.

    Attributes:
        manifest: the bundle's manifest.
        catalogue: the bundle's items.
        attributes: the attributes of users that the bundle knows.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Run the graphs once, so that the first request does not have to warm them."""
        self.manifest: Manifest = bundle.manifest
        self.catalogue: Catalogue = bundle.catalogue
        self.attributes: Attributes = bundle.attributes
        self._graphs = bundle.graphs
        self._max_ranked = max(1, min(MAX_RANKED, MAX_SCORES // len(self.catalogue)))
        # A weak reference, because a model must not be part of a cycle: see server/memory.py. A caller that awaits a
        # rank holds the model.
        model = weakref.proxy(self)
        self._to_rank: TickBatcher[_RankRequest, Ranked] = TickBatcher(lambda requests: model._rank_all(requests))  # noqa: SLF001, PLW0108 - a bound method would be a cycle
        self._to_adapt: TickBatcher[UserSupport, State] = TickBatcher(lambda supports: model._adapt_all(supports))  # noqa: SLF001, PLW0108 - likewise
        self._start: State = self._adapt_batch([NO_SUPPORT])[0]
        one_event = UserSupport(np.zeros(1, np.int64), np.ones(1, np.float32), np.zeros(1, np.float32))
        warm_up = _RankRequest(self._start, one_event, NO_BIASES, 1)
        # The largest batch: its memory, allocated in one piece after that of the golden cases is freed, serves every
        # later batch.
        self._rank_batch([warm_up] * self._max_ranked)

    @classmethod
    def load(cls, folder: Path, threads: int, signed: ManifestCheck | None = None) -> BundleModel:
        """Verify, load, check and warm the bundle in ``folder``; raises BundleError."""
        return cls(open_bundle(folder, threads=threads, signed=signed))

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.manifest.version

    async def adapt(self, support: UserSupport, attributes: Mapping[str, Value]) -> State:
        """See ``Model``. The state without events and attributes is computed once."""
        support = support._replace(attributes=self.attributes.encode(attributes))
        if not support.shots and support.attributes is NO_ATTRIBUTES:
            return self._start
        return await self._to_adapt.submit(support)

    async def _adapt_all(self, supports: list[UserSupport]) -> list[State]:
        states: list[State] = []
        for batch in _batches(supports, MAX_ADAPTED):
            started = time.perf_counter()
            states.extend(self._adapt_batch(batch))
            _observe(telemetry.adaptation, started, len(batch))
        return states

    def _adapt_batch(self, supports: list[UserSupport]) -> State:
        """States float32 (B, state_dim)."""
        support = Support.of(supports)
        return self._graphs.adapt(self.catalogue.vectors[support.rows], support)

    async def rank(self, user_state: NDArray[np.float32], support: UserSupport, biases: Biases, count: int) -> Ranked:
        """See ``Model``. A batch reads the catalogue once for all its users."""
        return await self._to_rank.submit(_RankRequest(user_state, support, biases, count))

    async def _rank_all(self, requests: list[_RankRequest]) -> list[Ranked]:
        return [ranked for batch in _batches(requests, self._max_ranked) for ranked in self._rank_batch(batch)]

    def _rank_batch(self, requests: list[_RankRequest]) -> list[Ranked]:
        started = time.perf_counter()
        states = np.concatenate([request.user_state for request in requests]).reshape(len(requests), -1)
        count = min(max(request.k for request in requests), self.manifest.limits.max_count)
        rows, scores = self._graphs.score(states, self._addends(requests), count)
        _observe(telemetry.scoring, started, len(requests))
        lists = zip(rows.tolist(), scores.tolist(), requests, strict=True)
        return [_without_excluded(list_rows, list_scores, request.k) for list_rows, list_scores, request in lists]

    def _addends(self, requests: list[_RankRequest]) -> Addends:
        supports, biases = [request.support for request in requests], _biases(requests)
        rows = np.concatenate([support.rows for support in supports])
        if not len(rows):
            return biases
        values = np.concatenate([support.values for support in supports])
        ages = np.concatenate([support.ages for support in supports])
        users = np.arange(len(requests)).repeat([support.shots for support in supports])
        shots = np.array([support.shots for support in supports], dtype=np.float32)
        lists, weights = self.catalogue.neighbour_rows[rows], self.catalogue.neighbour_weights[rows]
        return self._graphs.vote(lists, weights, values, ages, users, shots) + biases


def _batches(requests: list[Request], max_size: int) -> Iterator[list[Request]]:
    """As few batches as possible, of similar sizes: one user alone takes half the time of four."""
    size = math.ceil(len(requests) / math.ceil(len(requests) / max_size))
    return (requests[first : first + size] for first in range(0, len(requests), size))


def _observe(histogram: Histogram, started: float, users: int) -> None:
    """Observe the time since ``started``, divided among the users."""
    share = (time.perf_counter() - started) / users
    for _ in range(users):
        histogram.observe(share)


def _biases(requests: list[_RankRequest]) -> Addends:
    rows = np.concatenate([request.biases.rows for request in requests])
    values = np.concatenate([request.biases.values for request in requests])
    users = np.arange(len(requests)).repeat([len(request.biases.rows) for request in requests])
    return Addends(users, rows, values)


def _without_excluded(rows: list[int], scores: list[float], count: int) -> Ranked:
    """The first ``count`` rows without the excluded ones, which are last."""
    length = min(count, len(rows))
    while length and scores[length - 1] == EXCLUDED:
        length -= 1
    return rows[:length], scores[:length]
