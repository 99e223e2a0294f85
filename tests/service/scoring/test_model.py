"""The users of one tick adapt in batches, to the same bits as alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import NO_SUPPORT, Graphs, Registry, Runtime, Support, UserSupport, open_bundle
from model_store.bundle.runtime import MAX_ADAPTED
from service.core.support import support_of
from service.core.values import Event, Events
from service.scoring.model import BundleModel

pytestmark = pytest.mark.anyio


class CountingGraphs(Graphs):
    """Graphs that record the number of users in every call of ``adapt``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.adapted: list[int] = []

    def adapt(self, vectors: np.ndarray, support: Support) -> np.ndarray:
        self.adapted.append(len(support))
        return super().adapt(vectors, support)


@pytest.fixture(scope="module")
def graphs(trained_store: Path) -> CountingGraphs:
    return CountingGraphs(Registry(trained_store).live_folder())


@pytest.fixture(scope="module")
def model(trained_store: Path, graphs: CountingGraphs) -> BundleModel:
    bundle = open_bundle(Registry(trained_store).live_folder())
    return BundleModel(replace(bundle, runtime=Runtime(graphs, bundle.catalogue)))


def supports(model: BundleModel, count: int) -> list[UserSupport]:
    """Supports of one to forty events."""
    rng, made = np.random.default_rng(0), []
    for size in rng.integers(1, 40, count, endpoint=True):
        rows, times = rng.integers(0, len(model.catalogue), size), np.sort(rng.random(size)) * 1e7
        values, scale = rng.integers(1, 6, size).tolist(), model.manifest.feedback.scale
        numbered = enumerate(zip(values, times.tolist(), strict=True))
        events = Events.of([Event(f"i{index}", value, time, index, scale) for index, (value, time) in numbered])
        made.append(support_of(events, rows, scale, 256))
    return made


async def adapt(model: BundleModel, users: list[UserSupport]) -> list[bytes]:
    return [state.tobytes() for state in await asyncio.gather(*(model.adapt(support, {}) for support in users))]


async def test_the_users_of_a_tick_adapt_in_few_calls_and_to_the_bits_they_get_alone(
    model: BundleModel, graphs: CountingGraphs
) -> None:
    users = [*supports(model, MAX_ADAPTED + 4), NO_SUPPORT]
    one_by_one = [state for support in users for state in await adapt(model, [support])]
    assert len(set(one_by_one)) == len(users)
    graphs.adapted.clear()
    assert await adapt(model, users) == one_by_one
    assert graphs.adapted == [MAX_ADAPTED // 2 + 2] * 2  # the state without events is computed already


async def test_a_cancelled_user_does_not_affect_the_rest_of_the_batch(model: BundleModel) -> None:
    first, second = supports(model, 2)
    cancelled, waiting = (asyncio.ensure_future(model.adapt(support, {})) for support in (first, second))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert [(await waiting).tobytes()] == await adapt(model, [second])
