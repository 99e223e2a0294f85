import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import Ridge

from model_store.data.episodes import Support
from model_store.data.schema import Events
from model_store.evaluation.baselines import (
    ByShots,
    CoCounts,
    ItemItem,
    Popularity,
    WithPopularity,
    ease,
    item_knn,
    liked_matrix,
)
from model_store.evaluation.protocol import HEADLINE, KShot, Tasks, evaluate
from model_store.evaluation.tuning import BETAS, SWEEPS, tuned_baselines

LIKED, DISLIKED = 5.0, 1.0
LIKED_AT_LEAST = 4.0


def liked_of(*users: list[int], n_items: int) -> sp.csr_array:
    dense = np.zeros((len(users), n_items), dtype=np.float32)
    for row, items in enumerate(users):
        dense[row, items] = 1
    return sp.csr_array(dense)


def support_of(*users: list[tuple[int, float]]) -> Support:
    """Supports of (item, value) events, padded at the front."""
    width = max(1, *map(len, users)) if len(users) > 1 else max(1, len(users[0]))
    rows, values, mask = (np.zeros((len(users), width), dtype=kind) for kind in (np.int64, np.float32, np.float32))
    for row, events in enumerate(users):
        for place, (item, value) in enumerate(events, start=width - len(events)):
            rows[row, place], values[row, place], mask[row, place] = item, value, 1
    return Support(rows, values, np.zeros_like(values), mask)


def tasks_of(first_and_query: list[tuple[int, int]], n_items: int) -> Tasks:
    """Users of two liked events: one of support, one of query."""
    items = np.array(first_and_query, dtype=np.int32)
    n_users = len(items)
    values = np.full(items.size, LIKED, dtype=np.float32)
    events = Events(np.arange(0, items.size + 1, 2), items.ravel(), values, np.zeros(items.size))
    queries, masked = [row[1:] for row in items], [row[:1] for row in items]
    return Tasks(KShot((0, 1), min_events=2), events, np.arange(n_users), queries, masked, n_items)


def random_liked(n_users=120, n_items=14) -> np.ndarray:
    """Likes with structure: every user leans to one half of the catalogue."""
    rng = np.random.default_rng(0)
    lean = rng.random((n_users, 1)) < 0.5
    half = np.arange(n_items) < n_items // 2
    return (rng.random((n_users, n_items)) < np.where(lean == half, 0.5, 0.1)).astype(np.float32)


def test_only_liked_events_of_the_support_count():
    support = support_of([(2, LIKED), (1, DISLIKED), (0, LIKED_AT_LEAST)], [])
    assert liked_matrix(support, LIKED_AT_LEAST, 4).toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_padding_is_no_event_even_where_everything_counts_as_liked():
    assert liked_matrix(support_of([(1, 0.0), (2, 0.0)], [(2, 0.0)]), 0.0, 3).toarray().tolist() == [
        [0, 1, 1],
        [0, 0, 1],
    ]


def test_popularity_is_the_log_of_smoothed_likes_and_the_same_for_everybody():
    popularity = Popularity.fit(liked_of([0], [0, 1], [0], n_items=3))
    expected = np.log([(3 + 1) / 4, (1 + 1) / 4, (0 + 1) / 4])
    np.testing.assert_allclose(popularity.score(support_of([(1, LIKED)], [])), [expected, expected], rtol=1e-6)


def test_counts_are_kept_of_the_items_that_most_users_liked():
    counts = CoCounts.count(liked_of([0, 2], [2, 3], [0, 2], [2], n_items=4), max_items=2)
    assert counts.kept.tolist() == [0, 2]
    assert counts.together.tolist() == [[2, 2], [2, 4]]
    assert counts.n_items == 4


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_item_knn_by_hand(shrinkage):
    counts = CoCounts.count(liked_of([0, 1], [0, 1], [0], [0, 2], n_items=4), max_items=4)
    weights = item_knn(counts, shrinkage)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2 / (np.sqrt(4 * 2) + shrinkage)
    expected[0, 2] = expected[2, 0] = 1 / (np.sqrt(4 * 1) + shrinkage)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("regularisation", [1.0, 30.0, 300.0])
def test_ease_is_the_ridge_regression_of_every_item_on_all_others(regularisation):
    liked = random_liked()
    expected = np.zeros((liked.shape[1],) * 2)
    for item in range(liked.shape[1]):
        others = np.delete(np.arange(liked.shape[1]), item)
        ridge = Ridge(alpha=regularisation, fit_intercept=False).fit(liked[:, others], liked[:, item])
        expected[others, item] = ridge.coef_
    weights = ease(CoCounts.count(sp.csr_array(liked), max_items=liked.shape[1]), regularisation)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_fitting_leaves_the_counts_as_they_were():
    counts = CoCounts.count(sp.csr_array(random_liked()), max_items=14)
    before = counts.together.copy()
    ease(counts, 10.0)
    item_knn(counts, 10.0)
    np.testing.assert_array_equal(counts.together, before)


def test_an_item_item_model_adds_the_weights_of_what_was_liked_and_covers_only_what_it_kept():
    weights = np.array([[0, 2, 3], [5, 0, 7], [11, 13, 0]], dtype=np.float32)
    model = ItemItem(weights, kept=np.array([0, 2, 3]), n_items=5, liked_at_least=LIKED_AT_LEAST)
    scores = model.score(support_of([(0, LIKED), (2, LIKED)], [(3, LIKED), (0, DISLIKED)], [(1, LIKED)], []))
    assert scores.tolist() == [[5, 0, 2, 10, 0], [11, 0, 13, 0, 0], [0] * 5, [0] * 5]


def test_each_k_has_its_own_candidate():
    popularity = Popularity(np.zeros(2, dtype=np.float32))
    model = ItemItem(np.array([[0, 1], [1, 0]], dtype=np.float32), np.arange(2), 2, LIKED_AT_LEAST)
    by_shots = ByShots({k: WithPopularity(model, popularity, beta) for k, beta in {0: 1.0, 1: 2.0, 3: 4.0}.items()})
    event = (0, LIKED)
    for shots, beta in ((1, 2.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        score = by_shots.score(support_of([event] * shots))
        assert score.tolist() == [[0, beta * shots]]
    assert by_shots.score(support_of([])).tolist() == [[0, 0]]


def distracted() -> tuple[sp.csr_array, Tasks, int]:
    """Likes among which only a shrunk neighbour, weighed heavily, finds what belongs to item 0.

    Item 0 has 4 likes. Item 1 is its true partner, 4 of its 100 likes came together with item 0; item 2 has a
    single like, by chance together with item 0, hence the higher cosine; item 3 is merely popular with 1,000.
    Worked by hand for item-kNN at k = 1: without shrinkage, β up to 10 leaves item 3 first (item 1 gains .2 β on
    its lead of 2.3 = log(1001 / 101)), and from 30 on item 2 (.5 β) is. With shrinkage 10 item 1 gains β · 4 / 30,
    enough from β = 30 on, and item 2 stays behind with β · 1 / 12.
    """
    users = [[0, 1, 2], *[[0, 1]] * 3, *[[1]] * 96, *[[3]] * 1000]
    n_items = 4
    return liked_of(*users, n_items=n_items), tasks_of([(0, 1)] * 5, n_items), n_items


def test_tuning_finds_the_only_candidate_that_answers():
    liked, validation, n_items = distracted()
    tuned = dict(tuned_baselines(liked, LIKED_AT_LEAST, validation, max_items=n_items))
    assert tuned["item-kNN"].choice[1] == {"shrinkage": 10.0, "beta": 30.0}
    assert evaluate(tuned["item-kNN"].recommender, validation)[1].per_user[HEADLINE] == pytest.approx(1)


def test_without_events_nothing_beats_popularity_and_the_earliest_candidate_is_kept():
    liked, validation, n_items = distracted()
    tuned = dict(tuned_baselines(liked, LIKED_AT_LEAST, validation, max_items=n_items))
    assert list(tuned) == ["popularity", "item-kNN", "EASE"]
    for name, sweep in SWEEPS.items():
        assert tuned[name].choice[0] == {sweep.parameter: sweep.values[0], "beta": BETAS[0]}


@pytest.mark.parametrize("name", list(SWEEPS))
def test_no_candidate_is_better_on_validation_than_the_chosen_one(name):
    rng = np.random.default_rng(1)
    liked = sp.csr_array(random_liked(n_items=40))
    validation = tasks_of([tuple(rng.choice(20, 2, replace=False) + 20 * rng.integers(2)) for _ in range(60)], 40)
    popularity, counts = Popularity.fit(liked), CoCounts.count(liked, 40)
    candidates = [
        WithPopularity(ItemItem(SWEEPS[name].fit(counts, value), counts.kept, 40, LIKED_AT_LEAST), popularity, beta)
        for value in SWEEPS[name].values
        for beta in BETAS
    ]
    tuned = dict(tuned_baselines(liked, LIKED_AT_LEAST, validation, max_items=40))[name]
    for shots, judgement in evaluate(tuned.recommender, validation).items():
        scores = [evaluate(candidate, validation)[shots].per_user[HEADLINE].mean() for candidate in candidates]
        assert judgement.per_user[HEADLINE].mean() == pytest.approx(max(scores))


def test_a_restricted_baseline_says_so():
    liked, validation, _ = distracted()
    tuned = dict(tuned_baselines(liked, LIKED_AT_LEAST, validation, max_items=3))
    assert tuned["EASE"].note == tuned["item-kNN"].note == "covers the 3 most liked of 4 items"
    assert tuned["popularity"].note == ""


def test_each_candidate_is_announced():
    liked, validation, n_items = distracted()
    said: list[str] = []
    list(tuned_baselines(liked, LIKED_AT_LEAST, validation, max_items=n_items, on_step=said.append))
    assert said[0] == "item-kNN, shrinkage 0"
    assert said[-1] == "EASE, regularisation 1000"
    assert len(said) == sum(len(sweep.values) for sweep in SWEEPS.values())
