import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mean_absolute_error as sklearn_mae
from sklearn.metrics import ndcg_score

from model_store.studies.ratings.rating_metrics import graded_ndcg, mean_absolute_error


def test_mean_absolute_error_by_hand():
    errors = mean_absolute_error([[5, 3], [1, 4]], [[4.5, 3], [3, 3]])
    np.testing.assert_allclose(errors, [0.25, 1.5])


def test_graded_ndcg_by_hand():
    values, scores = [[5, 3, 1]], [[0.1, 0.9, 0.5]]  # ranked: 3, 1, 5
    assert graded_ndcg(values, scores, 1)[0] == pytest.approx(7 / 31)
    gain = 7 + 1 / np.log2(3) + 31 / 2
    best = 31 + 7 / np.log2(3) + 1 / 2
    assert graded_ndcg(values, scores, 3)[0] == pytest.approx(gain / best)


def test_items_of_equal_score_keep_their_order():
    assert graded_ndcg([[1, 5]], [[2, 2]], 1)[0] == pytest.approx(1 / 31)


def test_where_every_order_is_best_ndcg_is_1():
    assert graded_ndcg([[0, 0], [3, 3]], [[1, 2], [1, 2]], 1).tolist() == [1, 1]


@pytest.mark.parametrize("at", [1, 3, 5, 10])
def test_metrics_agree_with_scikit_learn(at):
    rng = np.random.default_rng(0)
    values, scores = rng.integers(1, 6, (100, 10)), rng.random((100, 10)) * 5
    expected = [ndcg_score([row], [score], k=at) for row, score in zip(2.0**values - 1, scores, strict=True)]
    np.testing.assert_allclose(graded_ndcg(values, scores, at), expected)
    expected = [sklearn_mae(row, score) for row, score in zip(values, scores, strict=True)]
    np.testing.assert_allclose(mean_absolute_error(values, scores), expected)


@given(arrays(np.int64, (3, 6), elements=st.integers(0, 10)), st.integers(1, 8))
def test_the_order_of_the_values_is_perfect_and_none_is_better(values, at):
    np.testing.assert_allclose(graded_ndcg(values, values, at), 1)
    assert (graded_ndcg(values, -values, at) <= 1 + 1e-12).all()
