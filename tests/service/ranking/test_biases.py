from __future__ import annotations

import numpy as np
import pytest

from model_store.bundle import EXCLUDED, NO_BIASES, exclusion
from service.catalogue.snapshot import Snapshot
from service.core.history import append
from service.core.values import EMPTY, Event, Events, UserRecord
from service.ranking.biases import biases_of
from service.ranking.request import AdaptedUser, ListRequest


def record_of(*item_ids: str, max_support: int = 10) -> UserRecord:
    """A record of likes; beyond ``max_support`` the first items are only seen."""
    events = [Event(item_id, 5.0, float(number), number) for number, item_id in enumerate(item_ids)]
    return append(EMPTY, Events.of(events), max_support).record


def user_of(record: UserRecord, snapshot: Snapshot) -> AdaptedUser:
    return AdaptedUser(record, snapshot.locate(record.events), np.zeros(1, dtype=np.float32))


@pytest.mark.parametrize("max_support", [1, 2, 10])
def test_every_item_with_feedback_is_excluded_however_old(snapshot: Snapshot, max_support: int) -> None:
    items = ["g1-1", "g2-2", "g3-3"]
    biases = biases_of(ListRequest("ann", 5), user_of(record_of(*items, max_support=max_support), snapshot), snapshot)
    assert sorted(biases.rows.tolist()) == sorted(snapshot.rows(items).tolist())
    assert biases.values.tolist() == [EXCLUDED] * 3


def test_items_that_the_catalogue_lacks_need_no_exclusion(snapshot: Snapshot) -> None:
    record = record_of("gone", "g1-1", "gone too", max_support=2)
    biases = biases_of(ListRequest("ann", 5), user_of(record, snapshot), snapshot)
    assert biases.rows.tolist() == snapshot.rows(["g1-1"]).tolist()


def test_items_with_feedback_are_included_on_request(snapshot: Snapshot) -> None:
    user = user_of(record_of("g1-1"), snapshot)
    assert biases_of(ListRequest("ann", 5, include_seen=True), user, snapshot) is NO_BIASES


def test_an_exclusion_has_the_types_of_the_graph() -> None:
    biases = exclusion(np.array([3, 4]))
    assert (biases.rows.dtype, biases.values.dtype) == (np.int64, np.float32)
