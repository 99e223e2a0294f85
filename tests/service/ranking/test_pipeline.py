from __future__ import annotations

import numpy as np
import pytest

from service.catalogue.snapshot import Snapshot
from service.core.values import EMPTY, Event, Events, UserRecord
from service.ranking.pipeline import make_slate
from service.ranking.request import AdaptedUser, ListRequest

pytestmark = pytest.mark.anyio


async def user_of(snapshot: Snapshot, *item_ids: str) -> AdaptedUser:
    scale = snapshot.feedback.scale
    liked = Events.of([Event(item_id, 5.0, 1.7e9, number, scale) for number, item_id in enumerate(item_ids)])
    record = UserRecord(1, liked, EMPTY.retired, (), None)
    events = snapshot.locate(record.events)
    return AdaptedUser(record, events, await snapshot.adapt(events.support, {}))


async def test_a_slate_without_seen_items_is_the_whole_ranking_without_them(snapshot: Snapshot) -> None:
    user = await user_of(snapshot, "g3-1", "g3-7")
    whole = await make_slate(ListRequest("ann", 500, include_seen=True), user, snapshot)
    unseen = await make_slate(ListRequest("ann", 500), user, snapshot)
    seen = set(user.events.rows.tolist())
    assert len(whole.rows) == 240
    assert unseen.rows == [row for row in whole.rows if row not in seen]
    np.testing.assert_allclose(
        unseen.scores, [score for row, score in zip(whole.rows, whole.scores, strict=True) if row not in seen]
    )


async def test_a_shorter_slate_is_the_beginning_of_a_longer_one(snapshot: Snapshot) -> None:
    user = await user_of(snapshot, "g3-1")
    long, short = [await make_slate(ListRequest("ann", k), user, snapshot) for k in (50, 7)]
    assert short.rows == long.rows[:7]
    assert long.scores == sorted(long.scores, reverse=True)
    assert short.propensities is None
