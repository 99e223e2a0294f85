"""The protocol for items without history, by hand, and what it hides from training."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from model_store.baselines import ContentKNN, content_matrix, rare_counts_more
from model_store.bundle.manifest import DataFingerprint, FeedbackSpec
from model_store.data.episodes import Support, pack_support
from model_store.data.schema import Dataset, Events, ItemFeatures
from model_store.errors import DataError
from model_store.evaluation.protocol import KShot, evaluate
from model_store.studies.new_items.protocol import NewItemTuner, hold_out, new_item_tasks, without_items

N_ITEMS = 20
TOPICS = 4


def dataset_of(*users: list[tuple[int, float]]) -> Dataset:
    """Users' (item, value) events; item i is about topic i mod 4."""
    pairs = list(itertools.chain(*users))
    events = Events(
        np.cumsum([0, *map(len, users)], dtype=np.int64),
        np.array([item for item, _ in pairs], dtype=np.int32),
        np.array([value for _, value in pairs], dtype=np.float32),
        np.arange(len(pairs), dtype=np.float64),
    )
    topics = np.arange(N_ITEMS) % TOPICS
    return Dataset(
        user_ids=[f"u{number}" for number in range(len(users))],
        item_ids=[f"i{number}" for number in range(N_ITEMS)],
        titles=[""] * N_ITEMS,
        events=events,
        has_order=True,
        has_time=True,
        feedback=FeedbackSpec(value_min=1, value_max=5, liked_at_least=4, types={}),
        features=ItemFeatures(
            [f"topic={number}" for number in range(TOPICS)],
            np.arange(N_ITEMS + 1),
            topics.astype(np.int64),
            np.ones(N_ITEMS, np.float32),
        ),
        fingerprint=DataFingerprint(source="made up", sha256="", users=len(users), items=N_ITEMS, events=len(pairs)),
    )


def masked(*items: int) -> np.ndarray:
    held_out = np.zeros(N_ITEMS, dtype=np.bool_)
    held_out[list(items)] = True
    return held_out


users = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=8), min_size=1, max_size=5)


@given(users, st.sets(st.integers(0, N_ITEMS - 1)))
def test_training_sees_every_event_but_those_of_held_out_items(histories, hidden):
    dataset = dataset_of(*([(item, 5.0) for item in history] for history in histories))
    left = without_items(dataset, masked(*hidden)).events
    assert left.n_users == len(histories)
    for user, history in enumerate(histories):
        assert left.items[left.user(user)].tolist() == [item for item in history if item not in hidden]
    kept = ~np.isin(dataset.events.items, list(hidden))
    np.testing.assert_array_equal(left.times, dataset.events.times[kept])


def test_a_tenth_of_the_items_with_events_is_held_out_by_the_seed():
    dataset = dataset_of([(item, 5.0) for item in range(N_ITEMS - 1)])
    draws = [np.flatnonzero(hold_out(dataset, seed)) for seed in (0, 0, 1, 2)]
    assert {len(draw) for draw in draws} == {2}
    assert draws[0].tolist() == draws[1].tolist()
    assert len({tuple(draw) for draw in draws}) > 1
    assert all(N_ITEMS - 1 not in hold_out(dataset, seed).nonzero()[0] for seed in range(50))


@pytest.mark.parametrize(("others", "advice"), [(3, "--shots 0,2"), (2, "--shots 0,1"), (1, "add events")])
def test_too_many_shots_for_new_items_are_refused_with_fewer_that_work(others, advice):
    dataset = dataset_of([(7, 5.0), *((item, 5.0) for item in range(others))])
    with pytest.raises(DataError, match=rf"none of 1 users has 6 events .* held out of training; .*{advice}"):
        new_item_tasks(dataset, masked(7, 8), np.arange(1), KShot((0, 5), 6))


def test_without_content_there_is_nothing_to_ask():
    none = np.zeros(0, dtype=np.int64)
    bare = ItemFeatures([], np.zeros(N_ITEMS + 1, dtype=np.int64), none, none.astype(np.float32))
    with pytest.raises(DataError, match="made up: no item has a feature"):
        hold_out(dataclasses.replace(dataset_of([(0, 5.0)]), features=bare), 0)


def test_the_protocol_by_hand():
    """Items 7 and 8 are new. The first user liked both, the second disliked them, the third has too few others."""
    dataset = dataset_of(
        [(1, 5.0), (7, 5.0), (2, 1.0), (8, 4.0), (3, 5.0)],
        [(1, 5.0), (7, 1.0), (2, 5.0), (3, 5.0)],
        [(1, 5.0), (7, 5.0)],
    )
    tasks = new_item_tasks(dataset, masked(7, 8, 9), np.arange(3), KShot((0, 2), 3))
    assert tasks.users.tolist() == [0]
    assert tasks.queries[0].tolist() == [7, 8]
    assert tasks.support(2, slice(0, 1)).rows.tolist() == [[1, 2]]
    assert tasks.n_items == 3

    class Fixed:
        """Old items first, then 9, 8, 7."""

        def score(self, support: Support) -> np.ndarray:
            scores = np.full((len(support.rows), N_ITEMS), 10.0, np.float32)
            scores[:, [9, 8, 7]] = 3, 2, 1
            return scores

    found = evaluate(Fixed(), tasks)[2].per_user
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg@10"][0] == pytest.approx((1 / np.log2(3) + 1 / 2) / ideal)
    assert found["recall@20"][0] == 1


def test_nobody_to_ask_is_an_error_that_says_what_was_wanted():
    dataset = dataset_of([(1, 5.0), (2, 5.0), (7, 1.0)])
    with pytest.raises(DataError, match="none of 1 users has 2 events and likes one of the 1 items held out"):
        new_item_tasks(dataset, masked(7), np.arange(1), KShot((0, 1), 2))


def support(*items: int) -> Support:
    dataset = dataset_of([(item, 5.0) for item in items])
    return pack_support(dataset.events, [np.arange(len(items))])


def test_content_knn_by_hand():
    half = np.sqrt(1 / 2, dtype=np.float32)
    features = sp.csr_array(np.array([[1, 0], [half, half], [0, 1], [0, 0]], dtype=np.float32))
    alike = ContentKNN(features, np.array([1, 2, 3]), power=2, shrinkage=0, liked_at_least=4)
    np.testing.assert_allclose(alike.score(support(0)), [[0, 1 / 2, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(alike.score(support(0, 2)), [[0, 1, 1, 0]], rtol=1e-6)
    shrunk = dataclasses.replace(alike, power=1, shrinkage=3)
    np.testing.assert_allclose(shrunk.score(support(1)), [[0, 2 / 5, half / 4, 0]], rtol=1e-6)


def test_rare_features_count_more_and_rows_keep_unit_norm():
    half = np.sqrt(1 / 2)
    weighted = rare_counts_more(sp.csr_array([[half, half], [1, 0], [0, 0]])).toarray()
    expected = np.array([np.log(3 / 2), np.log(3)]) / np.hypot(np.log(3 / 2), np.log(3))
    np.testing.assert_allclose(weighted, [expected, [1, 0], [0, 0]])


def test_tuned_content_knn_finds_the_topic_and_random_does_not():
    rng = np.random.default_rng(0)
    histories = []
    for user in range(60):
        own = [item for item in range(N_ITEMS) if item % TOPICS == user % TOPICS]
        histories.append([(int(item), 5.0) for item in rng.permutation(own)])
    dataset, held_out = dataset_of(*histories), masked(0, 1, 2, 3)
    left = without_items(dataset, held_out)
    tasks = new_item_tasks(dataset, held_out, np.arange(60), KShot((0, 1, 3), 4))
    liked = sp.csr_array((np.ones(len(left.events.items)), left.events.items, left.events.indptr), shape=(60, N_ITEMS))
    found = {
        name: evaluate(tuned.recommender, tasks)[1].per_user["ndcg@10"].mean()
        for name, tuned in NewItemTuner(left, liked, held_out, tasks).baselines()
    }
    assert found["content-kNN"] == found["content-kNN + popularity"] == pytest.approx(1)
    assert found["random"] < 0.8
    np.testing.assert_allclose(content_matrix(dataset.features).sum(1), 1)
