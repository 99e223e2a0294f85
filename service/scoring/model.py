"""The model of a verified bundle: one batch per tick of the event loop, and metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Histogram

from model_store.bundle import (
    NO_ATTRIBUTES,
    NO_SUPPORT,
    AllowedRows,
    Attributes,
    Biases,
    Bundle,
    Catalogue,
    Manifest,
    ManifestCheck,
    RankedRows,
    RankRequest,
    Runtime,
    UserSupport,
    Value,
    open_bundle,
)
from service import telemetry
from service.batching import TickBatcher

State = NDArray[np.float32]


class BundleModel:
    """Adapts and ranks with one bundle; a ``Model`` without state of its own, so requests share it.

    Attributes:
        manifest: manifest of the bundle.
        catalogue: items of the bundle.
        attributes: attributes of users that the bundle knows.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Run every graph once, so that the first user does not wait for it."""
        self.manifest: Manifest = bundle.manifest
        self.catalogue: Catalogue = bundle.catalogue
        self.attributes: Attributes = bundle.attributes
        # Batchers hold the runtime and not the model, because a model must not be part of a cycle: server/memory.py.
        self._adapt: TickBatcher[UserSupport, State] = TickBatcher(partial(_adapt_batch, bundle.runtime))
        self._rank: TickBatcher[RankRequest, RankedRows] = TickBatcher(partial(_rank_batch, bundle.runtime))
        self._start: State = bundle.runtime.adapt([NO_SUPPORT])[0]
        # The largest batch: its memory, allocated in one piece after that of the golden cases is freed, serves every
        # later batch.
        bundle.runtime.warm_up()

    @classmethod
    def load(cls, folder: Path, threads: int, signed: ManifestCheck | None = None) -> BundleModel:
        """Open the bundle in ``folder``, verified by its golden cases; raises BundleError."""
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
        return await self._adapt.submit(support)

    async def rank(
        self, user_state: State, support: UserSupport, biases: Biases, count: int, allowed: AllowedRows | None = None
    ) -> RankedRows:
        """See ``Model``. A batch reads the catalogue once for all its users."""
        count = min(count, self.manifest.limits.max_count)
        return await self._rank.submit(RankRequest(user_state, support, biases, count, allowed))


async def _adapt_batch(runtime: Runtime, users: list[UserSupport]) -> list[State]:
    started = time.perf_counter()
    states = runtime.adapt(users)
    _observe(telemetry.adaptation, started, len(users))
    return list(states)


async def _rank_batch(runtime: Runtime, requests: list[RankRequest]) -> list[RankedRows]:
    started = time.perf_counter()
    lists = runtime.rank(requests)
    _observe(telemetry.scoring, started, len(requests))
    return lists


def _observe(histogram: Histogram, started: float, users: int) -> None:
    """Observe the time since ``started``, divided among the users."""
    share = (time.perf_counter() - started) / users
    for _ in range(users):
        histogram.observe(share)
