"""The model of a verified bundle as the flows use it: batched per tick of the event loop, and measured."""

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
        # The memory of the golden cases is released; the largest batch takes it in one piece, which serves any other.
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
        """The inner loop: ``user_state`` float32 (state_dim,). The starting point was computed once.

        The users of one tick of the event loop adapt in one batch; no bit of a state depends on the others.
        """
        support = support._replace(attributes=self.attributes.encode(attributes))
        if not support.shots and support.attributes is NO_ATTRIBUTES:
            return self._start
        return await self._adapt.submit(support)

    async def rank(
        self, user_state: State, support: UserSupport, biases: Biases, count: int, allowed: AllowedRows | None = None
    ) -> RankedRows:
        """The best ``count`` rows with their scores, best first; fewer if the catalogue has no more.

        The users of one tick of the event loop are ranked in one batch, which reads the catalogue once.

        Args:
            user_state: float32 (state_dim,), adapted with this bundle.
            support: the events whose neighbours vote.
            biases: added to the scores.
            count: length of the list.
            allowed: rows that the list may hold; None allows all.
        """
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
