import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from model_store.evaluation import metrics

DEPTH = 20


def hits_of(*lists: str) -> np.ndarray:
    """Lists as text, "x" for a hit."""
    return np.array([[position == "x" for position in row] for row in lists])


@st.composite
def judged_lists(draw):
    """Hits of one list over a whole catalogue, and how many there are (at least one)."""
    hits = draw(arrays(np.bool_, (1, DEPTH)).filter(np.any))
    return hits, hits.sum(1)


def test_ndcg_by_hand():
    hits = hits_of("x.x..", ".x...", ".....")
    ideal_of_two = 1 + 1 / np.log2(3)
    expected = [(1 + 1 / 2) / ideal_of_two, 1 / np.log2(3), 0]
    np.testing.assert_allclose(metrics.ndcg(hits, np.array([2, 1, 3]), 5), expected)


def test_a_query_longer_than_the_list_can_still_be_perfect():
    hits, n_relevant = hits_of("xxx"), np.array([7])
    assert metrics.ndcg(hits, n_relevant, 3) == pytest.approx(1)
    assert metrics.recall(hits, n_relevant, 3) == pytest.approx(1)


def test_a_catalogue_shorter_than_the_list_is_judged_by_its_items():
    hits, n_relevant = hits_of(".x."), np.array([1])
    assert metrics.ndcg(hits, n_relevant, 10) == pytest.approx(1 / np.log2(3))
    assert metrics.recall(hits, n_relevant, 10) == pytest.approx(1)
    assert metrics.hit_rate(hits, 10) == pytest.approx(1)


def test_recall_hit_rate_and_reciprocal_rank_by_hand():
    hits, n_relevant = hits_of("..x.x", "x....", "....."), np.array([4, 1, 2])
    np.testing.assert_allclose(metrics.recall(hits, n_relevant, 3), [1 / 3, 1, 0])
    np.testing.assert_allclose(metrics.recall(hits, n_relevant, 5), [2 / 4, 1, 0])
    np.testing.assert_allclose(metrics.hit_rate(hits, 2), [0, 1, 0])
    np.testing.assert_allclose(metrics.hit_rate(hits, 3), [1, 1, 0])
    np.testing.assert_allclose(metrics.reciprocal_rank(hits), [1 / 3, 1, 0])


def test_coverage_counts_every_item_once():
    top = np.array([[0, 1, 9], [1, 2, 8]])
    assert metrics.coverage(top, n_items=10, at=2) == pytest.approx(3 / 10)


@pytest.mark.parametrize("at", [1, 5, 10, 20])
def test_ndcg_agrees_with_scikit_learn(at):
    rng = np.random.default_rng(0)
    relevant = rng.random((200, 60)) < rng.random((200, 1))
    relevant[:, 0] = True
    scores = rng.random(relevant.shape)
    hits = np.take_along_axis(relevant, np.argsort(-scores, axis=1), 1)
    expected = [ndcg_score([row], [score], k=at) for row, score in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(metrics.ndcg(hits, relevant.sum(1), at), expected)


def test_reciprocal_rank_of_one_relevant_item_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    relevant, scores = np.eye(40, dtype=bool), rng.random((40, 40))
    hits = np.take_along_axis(relevant, np.argsort(-scores, axis=1), 1)
    expected = label_ranking_average_precision_score(relevant, scores)
    assert metrics.reciprocal_rank(hits).mean() == pytest.approx(expected)


@given(judged_lists(), st.integers(1, DEPTH + 5))
def test_every_metric_lies_between_0_and_1(judged, at):
    hits, n_relevant = judged
    for values in (
        metrics.ndcg(hits, n_relevant, at),
        metrics.recall(hits, n_relevant, at),
        metrics.hit_rate(hits, at),
        metrics.reciprocal_rank(hits),
    ):
        assert 0 <= values[0] <= 1 + 1e-12


@given(judged_lists(), st.integers(1, DEPTH))
def test_a_list_that_starts_with_the_query_is_perfect(judged, at):
    hits, n_relevant = judged
    best = -np.sort(-hits.astype(int), axis=1) > 0
    assert metrics.ndcg(best, n_relevant, at) == pytest.approx(1)
    assert metrics.recall(best, n_relevant, at) == pytest.approx(1)
    assert metrics.reciprocal_rank(best) == pytest.approx(1)


@given(judged_lists(), st.integers(1, DEPTH), st.integers(0, DEPTH - 2))
def test_moving_a_hit_ahead_of_a_miss_never_costs(judged, at, position):
    hits, n_relevant = judged
    better = hits.copy()
    better[0, position : position + 2] = -np.sort(-hits[0, position : position + 2].astype(int)) > 0
    assert metrics.ndcg(better, n_relevant, at)[0] >= metrics.ndcg(hits, n_relevant, at)[0] - 1e-12
    assert metrics.recall(better, n_relevant, at)[0] >= metrics.recall(hits, n_relevant, at)[0]
    assert metrics.reciprocal_rank(better)[0] >= metrics.reciprocal_rank(hits)[0]


@given(judged_lists(), st.integers(1, DEPTH))
def test_positions_behind_the_cut_do_not_matter(judged, at):
    hits, n_relevant = judged
    cut = hits.copy()
    cut[:, at:] = False
    assert metrics.ndcg(cut, n_relevant, at) == pytest.approx(metrics.ndcg(hits, n_relevant, at))
    assert metrics.recall(cut, n_relevant, at) == pytest.approx(metrics.recall(hits, n_relevant, at))


def test_bootstrap_interval_matches_the_normal_one_for_many_users():
    per_user = np.random.default_rng(1).random(2000)
    half = 1.96 * per_user.std() / np.sqrt(len(per_user))
    low, high = metrics.bootstrap_interval(per_user)
    assert low == pytest.approx(per_user.mean() - half, abs=half / 10)
    assert high == pytest.approx(per_user.mean() + half, abs=half / 10)


def test_bootstrap_interval_of_one_seed_is_one_interval():
    per_user = np.random.default_rng(1).random(50)
    assert metrics.bootstrap_interval(per_user, seed=3) == metrics.bootstrap_interval(per_user, seed=3)
    assert metrics.bootstrap_interval(per_user, seed=3) != metrics.bootstrap_interval(per_user, seed=4)


def test_bootstrap_interval_of_equal_users_has_no_width():
    assert metrics.bootstrap_interval(np.full(30, 0.25)) == (0.25, 0.25)
