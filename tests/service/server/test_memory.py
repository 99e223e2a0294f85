"""A replaced bundle is freed at once, without the garbage collector: it is not part of any reference cycle."""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import NO_BIASES, NO_SUPPORT, Addends, Catalogue, Graphs, Registry
from service.scoring.model import BundleModel


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_model_without_references_is_freed(trained_store: Path) -> None:
    model = BundleModel.load(Registry(trained_store).live_folder(), 1)
    state = asyncio.run(model.adapt(NO_SUPPORT, {}))
    rows, _ = asyncio.run(_rank(model, state))
    assert len(rows) == 5
    reference = weakref.ref(model)
    del model
    assert reference() is None


def test_a_catalogue_without_references_is_freed(trained_store: Path) -> None:
    catalogue = Catalogue(Registry(trained_store).live_folder())
    assert catalogue.rows(catalogue.ids[:3]).tolist() == [0, 1, 2]
    reference = weakref.ref(catalogue)
    del catalogue
    assert reference() is None


async def _rank(model: BundleModel, state: np.ndarray) -> tuple[list[int], list[float]]:
    return await model.rank(state, NO_SUPPORT, NO_BIASES, 5)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_new_numbers_of_addends_do_not_accumulate_memory(trained_store: Path) -> None:
    graphs = Graphs(Registry(trained_store).live_folder())
    states = np.ones((2, state_dim(graphs)), dtype=np.float32)
    for count in range(6000, 6200):  # the largest first: the arena keeps what they take
        graphs.score(states, addends(count), 5)
    before = rss_kib()
    for count in range(1, 5000):
        graphs.score(states, addends(count), 5)
    assert rss_kib() - before < 2_000  # 5,900 with a cached memory plan per number


def addends(count: int) -> Addends:
    return Addends(np.zeros(count, np.int64), np.arange(count) % 100, np.zeros(count, np.float32))


def state_dim(graphs: Graphs) -> int:
    return int(graphs.signatures()["encode_item.onnx"]["item_vector"].split("[")[1].rstrip("]"))


def rss_kib() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1])
