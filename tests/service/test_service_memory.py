"""A replaced bundle leaves the memory at once: the service keeps the garbage collector from looking for cycles."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import Catalogue, Registry
from service.core.support import NO_SUPPORT
from service.scoring.model import Model


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def test_a_model_that_nobody_holds_is_gone(trained_store: Path) -> None:
    model = Model.load(Registry(trained_store).live_folder(), 1)
    state = model.adapt(NO_SUPPORT, {})
    rows, _ = asyncio.run(_rank(model, state))
    assert len(rows) == 5
    held = weakref.ref(model)
    del model
    assert held() is None


def test_a_catalogue_that_nobody_holds_is_gone(trained_store: Path) -> None:
    catalogue = Catalogue(Registry(trained_store).live_folder())
    assert catalogue.rows(catalogue.ids[:3]).tolist() == [0, 1, 2]
    held = weakref.ref(catalogue)
    del catalogue
    assert held() is None


async def _rank(model: Model, state: np.ndarray) -> tuple[list[int], list[float]]:
    return await model.rank(state, NO_SUPPORT, np.zeros(0, dtype=np.int64), 5)
