from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from model_store.bundle import NO_BIASES, NO_SUPPORT, UNKNOWN_ROW, AllowedRows
from service.catalogue.snapshot import NO_CHANGES, Snapshot
from service.core.values import Event, Events


def test_a_snapshot_cannot_change(snapshot: Snapshot) -> None:
    assert snapshot.overlay is NO_CHANGES
    with pytest.raises(FrozenInstanceError):
        snapshot.model = snapshot.model  # type: ignore[misc]


def test_events_are_located_and_those_about_other_items_cannot_be_adapted_to(snapshot: Snapshot) -> None:
    scale = snapshot.feedback.scale
    events = Events.of([Event(item_id, 5.0, 1.7e9, n, scale) for n, item_id in enumerate(("g1-1", "gone", "g2-2"))])
    located = snapshot.locate(events)
    assert located.rows.tolist() == [snapshot.rows(["g1-1"])[0], UNKNOWN_ROW, snapshot.rows(["g2-2"])[0]]
    assert located.support.rows.tolist() == [located.rows[0], located.rows[2]]


@pytest.mark.anyio
@pytest.mark.parametrize("allowed_rows", [[5], [3, 5, 8, 13, 21]])
async def test_a_list_holds_only_allowed_rows(snapshot: Snapshot, allowed_rows: list[int]) -> None:
    mask = np.zeros(len(snapshot.model.catalogue), dtype=bool)
    mask[allowed_rows] = True
    state = await snapshot.adapt(NO_SUPPORT, {})
    everything = dict(zip(*await snapshot.rank(state, NO_SUPPORT, NO_BIASES, 500), strict=True))
    rows, scores = await snapshot.rank(state, NO_SUPPORT, NO_BIASES, 500, AllowedRows(mask))
    assert sorted(rows) == allowed_rows
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([everything[row] for row in rows], abs=1e-4)


def test_a_support_has_at_most_the_bundles_number_of_events(snapshot: Snapshot) -> None:
    many = snapshot.max_support + 3
    item_ids = snapshot.item_ids(list(range(3)))
    events = Events.of([Event(item_ids[n % 3], 5.0, 1.7e9 + n, n, snapshot.feedback.scale) for n in range(many)])
    assert len(snapshot.locate(events).support.rows) == snapshot.max_support
