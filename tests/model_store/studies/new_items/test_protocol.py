"""The protocol for items without history, by hand, and the events it removes from training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from topics import N_ITEMS, dataset_of, held_out_items

from model_store.bundle import Support
from model_store.data.schema import ItemFeatures
from model_store.errors import DataError
from model_store.evaluation.protocol import KShot, evaluate
from model_store.studies.new_items.protocol import hold_out, new_item_tasks, without_items

users = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=8), min_size=1, max_size=5)


@given(users, st.sets(st.integers(0, N_ITEMS - 1)))
def test_training_sees_every_event_but_those_of_held_out_items(histories, hidden):
    dataset = dataset_of(*([(item, 5.0) for item in history] for history in histories))
    remaining = without_items(dataset, held_out_items(*hidden)).events
    assert remaining.n_users == len(histories)
    for user, history in enumerate(histories):
        assert remaining.items[remaining.user(user)].tolist() == [item for item in history if item not in hidden]
    is_visible = ~np.isin(dataset.events.items, list(hidden))
    np.testing.assert_array_equal(remaining.times, dataset.events.times[is_visible])


def test_a_tenth_of_the_items_with_events_is_held_out_by_the_seed():
    dataset = dataset_of([(item, 5.0) for item in range(N_ITEMS - 1)])
    draws = [np.flatnonzero(hold_out(dataset, seed)) for seed in (0, 0, 1, 2)]
    assert {len(draw) for draw in draws} == {2}
    assert draws[0].tolist() == draws[1].tolist()
    assert len({tuple(draw) for draw in draws}) > 1
    assert all(N_ITEMS - 1 not in hold_out(dataset, seed).nonzero()[0] for seed in range(50))


@pytest.mark.parametrize(("n_events", "advice"), [(3, "--shots 0,2"), (2, "--shots 0,1"), (1, "add events")])
def test_too_many_shots_for_new_items_are_refused_with_fewer_that_work(n_events, advice):
    dataset = dataset_of([(7, 5.0), *((item, 5.0) for item in range(n_events))])
    with pytest.raises(DataError, match=rf"none of 1 users has 6 events .* held out of training; .*{advice}"):
        new_item_tasks(dataset, held_out_items(7, 8), np.arange(1), KShot((0, 5), 6))


def test_items_without_content_are_refused():
    none = np.zeros(0, dtype=np.int64)
    bare = ItemFeatures([], np.zeros(N_ITEMS + 1, dtype=np.int64), none, none.astype(np.float32))
    with pytest.raises(DataError, match="made up: no item has a feature"):
        hold_out(replace(dataset_of([(0, 5.0)]), features=bare), 0)


def test_the_protocol_by_hand():
    """Items 7 and 8 are new: the first user liked both, the second none, the third has too few other events."""
    dataset = dataset_of(
        [(1, 5.0), (7, 5.0), (2, 1.0), (8, 4.0), (3, 5.0)],
        [(1, 5.0), (7, 1.0), (2, 5.0), (3, 5.0)],
        [(1, 5.0), (7, 5.0)],
    )
    tasks = new_item_tasks(dataset, held_out_items(7, 8, 9), np.arange(3), KShot((0, 2), 3))
    assert tasks.users.tolist() == [0]
    assert tasks.queries[0].tolist() == [7, 8]
    assert [user.rows.tolist() for user in tasks.support(2, slice(0, 1)).users()] == [[1, 2]]
    assert tasks.n_items == 3

    class Fixed:
        """Old items first, then 9, 8, 7."""

        def score(self, support: Support) -> np.ndarray:
            scores = np.full((len(support.rows), N_ITEMS), 10.0, np.float32)
            scores[:, [9, 8, 7]] = 3, 2, 1
            return scores

    per_user = evaluate(Fixed(), tasks)[2].per_user
    ideal = 1 + 1 / np.log2(3)
    assert per_user["ndcg@10"][0] == pytest.approx((1 / np.log2(3) + 1 / 2) / ideal)
    assert per_user["recall@20"][0] == 1


def test_users_without_a_task_are_refused_with_the_expectation():
    dataset = dataset_of([(1, 5.0), (2, 5.0), (7, 1.0)])
    with pytest.raises(DataError, match="none of 1 users has 2 events and likes one of the 1 items held out"):
        new_item_tasks(dataset, held_out_items(7), np.arange(1), KShot((0, 1), 2))
