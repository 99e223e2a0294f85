from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_store.bundle.manifest import DataFingerprint, FeedbackSpec
from model_store.data.schema import Dataset, Events, ItemFeatures
from model_store.errors import DataError
from model_store.evaluation.figures import Figure
from model_store.evaluation.protocol import (
    DENSE_SHOTS,
    SPARSE_SHOTS,
    KShot,
    Tasks,
    choose_protocol,
    evaluate,
    judge,
    make_tasks,
    top_items,
)

LIKED, DISLIKED = 5.0, 1.0
N_ITEMS = 40
DAY = 86_400.0


def dataset_of(*users: list[tuple[int, float]], n_items: int = N_ITEMS) -> Dataset:
    """A dataset of users' (item, value) events, one per day."""
    lengths = [len(user) for user in users]
    pairs = [pair for user in users for pair in user]
    events = Events(
        indptr=np.cumsum([0, *lengths], dtype=np.int64),
        items=np.array([item for item, _ in pairs], dtype=np.int32),
        values=np.array([value for _, value in pairs], dtype=np.float32),
        times=np.concatenate([DAY * np.arange(length) for length in lengths]),
    )
    none = np.zeros(0, dtype=np.int64)
    return Dataset(
        user_ids=[f"u{number}" for number in range(len(users))],
        item_ids=[f"i{number}" for number in range(n_items)],
        titles=[""] * n_items,
        events=events,
        has_order=True,
        has_time=True,
        feedback=FeedbackSpec(value_min=1, value_max=5, liked_at_least=4, types={}),
        features=ItemFeatures([], np.zeros(n_items + 1, dtype=np.int64), none, none.astype(np.float32)),
        fingerprint=DataFingerprint(source="made up", sha256="", users=len(users), items=n_items, events=len(pairs)),
    )


def liking(*items: int) -> list[tuple[int, float]]:
    return [(item, LIKED) for item in items]


def all_users(dataset: Dataset) -> np.ndarray:
    return np.arange(dataset.events.n_users)


class Fixed:
    """The same scores for every user; keeps the supports it has scored."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=np.float32)
        self.supports = []

    def score(self, support):
        self.supports.append(support)
        return np.tile(self.scores, (len(support.rows), 1))


def one_user_tasks(protocol: KShot = KShot((0, 1, 3), min_events=6)) -> Tasks:  # noqa: B008 - frozen
    user = [*liking(0, 1, 2, 3), (4, DISLIKED), (5, LIKED)]
    dataset = dataset_of(user)
    return make_tasks(dataset, all_users(dataset), protocol)


def test_the_query_is_the_liked_items_after_the_largest_support():
    tasks = one_user_tasks()
    assert [query.tolist() for query in tasks.queries] == [[3, 5]]
    assert [masked.tolist() for masked in tasks.masked] == [[0, 1, 2]]


def test_the_query_is_the_same_at_every_k():
    scores = np.zeros(N_ITEMS)
    scores[[3, 5]] = 1
    for judgement in evaluate(Fixed(scores), one_user_tasks()).values():
        assert judgement.per_user["ndcg@10"] == pytest.approx(1)
        assert judgement.per_user["recall@20"] == pytest.approx(1)


def test_events_up_to_the_query_are_masked_at_every_k():
    scores = np.zeros(N_ITEMS)
    scores[[0, 1, 2]] = 9
    scores[3] = 1
    for judgement in evaluate(Fixed(scores), one_user_tasks()).values():
        assert judgement.per_user["mrr"] == pytest.approx(1)


def test_a_disliked_item_is_not_a_hit():
    scores = np.zeros(N_ITEMS)
    scores[4] = 1
    judgement = evaluate(Fixed(scores), one_user_tasks())[3]
    assert judgement.per_user["mrr"] == pytest.approx(1 / 2)


def test_the_support_at_k_is_the_first_k_events():
    spy = Fixed(np.zeros(N_ITEMS))
    evaluate(spy, one_user_tasks())
    none, one, three = spy.supports
    assert none.lengths.tolist() == [0]
    assert [user.rows.tolist() for user in one.users()] == [[0]]
    (support,) = three.users()
    assert support.rows.tolist() == [0, 1, 2]
    assert support.ages.tolist() == [2, 1, 0]
    assert support.values.tolist() == [LIKED] * 3


def test_users_with_few_events_or_an_empty_query_are_excluded():
    enough = liking(0, 1, 2, 3)
    dataset = dataset_of(liking(0, 1, 2), enough, [*liking(0, 1), (2, DISLIKED), (3, DISLIKED)])
    tasks = make_tasks(dataset, all_users(dataset), KShot((0, 2), min_events=4))
    assert tasks.users.tolist() == [1]


def test_only_the_requested_users_are_judged():
    dataset = dataset_of(liking(0, 1, 2), liking(3, 4, 5), liking(6, 7, 8))
    tasks = make_tasks(dataset, np.array([2, 0]), KShot((0, 1), min_events=3))
    assert [query.tolist() for query in tasks.queries] == [[7, 8], [1, 2]]
    assert [user.rows.tolist() for user in tasks.support(1, slice(0, 2)).users()] == [[6], [0]]


@pytest.mark.parametrize("shots", [(0, 20), (0, 1, 2, 3), (0, 5, 7), (0, 6, 10)])
@pytest.mark.parametrize("lengths", [(2, 2), (3, 2), (2, 4), (5, 3), (3, 3)])
def test_too_many_shots_are_refused_with_some_that_fit_every_group(shots, lengths):
    dataset = dataset_of(*[liking(*range(length)) for length in lengths])
    groups = {"validation users": np.array([0]), "test users": np.array([1])}
    with pytest.raises(DataError, match=r"none of 1 (validation|test) users has .*: --shots [\d,]+$") as refused:
        choose_protocol(dataset, shots, groups)
    advice = str(refused.value).rpartition(" ")[2]
    followed = choose_protocol(dataset, tuple(map(int, advice.split(","))), groups)
    assert followed.query_after == min(lengths) - 1
    for users in groups.values():
        assert make_tasks(dataset, users, followed).users.tolist() == users.tolist()


@pytest.mark.parametrize("shots", [None, (0, 1), (0, 3, 20)])
def test_users_with_one_event_each_are_refused_without_advice_on_shots(shots):
    dataset = dataset_of(liking(0, 1, 2), liking(3))
    groups = {"validation users": np.array([0]), "test users": np.array([1])}
    with pytest.raises(DataError, match=r"none of 1 .* users .*; expected users with several events: add events"):
        choose_protocol(dataset, shots, groups)


def test_users_without_likes_are_refused_with_advice_on_the_threshold():
    dataset = dataset_of([(item, DISLIKED) for item in range(9)])
    with pytest.raises(DataError, match=r"too little is liked: set --liked-from to a lower value"):
        choose_protocol(dataset, groups={"test users": all_users(dataset)})
    lower = dataset.feedback.model_copy(update={"liked_at_least": DISLIKED})
    assert choose_protocol(replace(dataset, feedback=lower), groups={"test users": all_users(dataset)}).shots == (
        0,
        1,
        2,
        3,
    )


def test_users_without_a_task_are_refused_with_shots_that_work():
    dataset = dataset_of(liking(0, 1), liking(2, 3))
    with pytest.raises(DataError, match=r"none of 2 users has 4 events .* after event 3; .*: --shots 0,1$"):
        make_tasks(dataset, all_users(dataset), KShot((0, 1, 2, 3), min_events=4))


@pytest.mark.parametrize(("events", "shots"), [(2, (0, 1)), (3, (0, 1, 2)), (4, (0, 1, 2, 3)), (9, (0, 1, 2, 3))])
def test_the_chosen_shots_fit_a_user_of_every_group(events, shots):
    dataset = dataset_of(*[liking(*range(events))] * 9, liking(*range(9)))
    groups = {"validation users": np.array([0]), "test users": np.array([9])}
    assert choose_protocol(dataset, groups=groups).shots == shots


def test_a_query_needs_a_like():
    dataset = dataset_of([*liking(0, 1), (2, DISLIKED), (3, DISLIKED)])
    assert choose_protocol(dataset, groups={"test users": all_users(dataset)}).shots == (0, 1)


def test_many_users_are_judged_in_their_order():
    users = [liking(number % N_ITEMS, (number + 1) % N_ITEMS) for number in range(300)]
    dataset = dataset_of(*users)
    tasks = make_tasks(dataset, all_users(dataset), KShot((0, 1), min_events=2))
    # Item 8 is the query only of the users that start with 7.
    judgement = evaluate(Fixed(np.eye(N_ITEMS)[8]), tasks)[1]
    first = np.flatnonzero(judgement.per_user["mrr"] == 1)
    assert first.tolist() == list(range(7, 300, N_ITEMS))


def test_every_batch_is_reported():
    users = [liking(0, 1)] * 300
    dataset = dataset_of(*users)
    tasks = make_tasks(dataset, all_users(dataset), KShot((0, 1), min_events=2))
    calls = []
    evaluate(Fixed(np.zeros(N_ITEMS)), tasks, on_batch=lambda: calls.append(1))
    assert len(calls) == len(tasks.protocol.shots) * len(tasks.batches())


def test_a_summary_has_means_with_intervals_and_the_coverage():
    dataset = dataset_of(liking(0, 1), liking(0, 2))
    tasks = make_tasks(dataset, all_users(dataset), KShot((0, 1), min_events=2))
    summary = judge(np.array([[1, 5], [5, 6]]), tasks).summary()
    assert summary["mrr"].mean == pytest.approx(1 / 2)
    assert summary["hr@10"].mean == pytest.approx(1 / 2)
    assert summary["coverage@10"] == Figure(pytest.approx(3 / N_ITEMS), None)
    low, high = summary["ndcg@10"].interval
    assert low <= summary["ndcg@10"].mean <= high


@given(
    arrays(np.float32, (2, 150), elements=st.sampled_from([0, 0.5, 1, 2])),
    st.sets(st.integers(0, 149), max_size=40),
)
def test_a_list_is_the_sorted_catalogue_without_masked_items_and_ties_go_by_row(scores, masked):
    masked = np.array(sorted(masked), dtype=np.int32)
    tasks = Tasks(KShot((0, 1), 2), None, np.arange(2), [], [masked, masked], 150)
    unmasked = np.setdiff1d(np.arange(150), masked)
    expected = [unmasked[np.lexsort((unmasked, -user[unmasked]))][:100] for user in scores]
    np.testing.assert_array_equal(top_items(scores, tasks, slice(0, 2)), expected)


def test_scores_are_not_changed():
    scores = np.ones((1, N_ITEMS), dtype=np.float32)
    top_items(scores, one_user_tasks(), slice(0, 1))
    assert (scores == 1).all()


def test_dense_data_is_judged_at_up_to_20_shots():
    dataset = dataset_of(liking(*range(30)), liking(0))
    protocol = choose_protocol(dataset)
    assert protocol == KShot(DENSE_SHOTS, min_events=30)
    assert protocol.query_after == 20


def test_sparse_data_is_judged_at_few_shots():
    dataset = dataset_of(*[liking(0, 1, 2, 3)] * 11)
    assert choose_protocol(dataset) == KShot(SPARSE_SHOTS, min_events=4)


def test_requested_shots_are_kept():
    dataset = dataset_of(*[liking(0, 1, 2, 3)] * 11)
    assert choose_protocol(dataset, (0, 2)) == KShot((0, 2), min_events=3)
