"""What users ask of the model in one tick of the event loop is computed together, to the same bits as alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from model_store.bundle import NO_SUPPORT, Registry, UserSupport
from service.core.support import support_of
from service.core.values import Event, Events
from service.scoring.model import MAX_ADAPTED, Model


@pytest.fixture
def model(trained_store: Path) -> Model:
    return Model.load(Registry(trained_store).live_folder(), 1)


def supports(model: Model, count: int) -> list[UserSupport]:
    """Of one to forty events each."""
    rng = np.random.default_rng(0)
    found = []
    for size in rng.integers(1, 40, count, endpoint=True):
        rows, times = rng.integers(0, len(model.catalogue), size), np.sort(rng.random(size)) * 1e7
        values, scale = rng.integers(1, 6, size).tolist(), model.manifest.feedback.scale
        numbered = enumerate(zip(values, times.tolist(), strict=True))
        events = Events.of([Event(f"i{place}", value, time, place, scale) for place, (value, time) in numbered])
        found.append(support_of(events, rows, scale, 256))
    return found


async def adapted(model: Model, asked: list[UserSupport]) -> list[bytes]:
    states = await asyncio.gather(*(model.adapt(each, {}) for each in asked))
    return [state.tobytes() for state in states]


def test_users_of_a_tick_adapt_in_as_few_calls_as_may_be_and_to_the_bits_they_get_alone(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*supports(model, MAX_ADAPTED + 4), NO_SUPPORT]
    alone = [state for each in asked for state in asyncio.run(adapted(model, [each]))]
    assert len(set(alone)) == len(asked)
    calls, adapt = [], model._graphs.adapt
    monkeypatch.setattr(model._graphs, "adapt", lambda *given: calls.append(len(given[0])) or adapt(*given))
    assert asyncio.run(adapted(model, asked)) == alone
    assert calls == [MAX_ADAPTED // 2 + 2] * 2  # the start of a user without events is there already


def test_a_user_who_no_longer_waits_takes_nothing_from_the_others(model: Model) -> None:
    one, other = supports(model, 2)

    async def ask() -> bytes:
        gone, stays = (asyncio.ensure_future(model.adapt(each, {})) for each in (one, other))
        await asyncio.sleep(0)
        gone.cancel()
        return (await stays).tobytes()

    assert [asyncio.run(ask())] == asyncio.run(adapted(model, [other]))
