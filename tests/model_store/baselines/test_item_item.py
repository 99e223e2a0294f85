import numpy as np
import pytest
import scipy.sparse as sp
from likes import DISLIKED, LIKED, LIKED_AT_LEAST, liked_of, random_liked, support_of
from sklearn.linear_model import Ridge

from model_store.baselines.item_item import ItemItem, item_knn
from model_store.meta.parts.ease import CoCounts, ease


def test_the_most_liked_items_are_counted():
    counts = CoCounts.count(liked_of([0, 2], [2, 3], [0, 2], [2], n_items=4), max_items=2)
    assert counts.kept.tolist() == [0, 2]
    assert counts.gram.tolist() == [[2, 2], [2, 4]]
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
def test_ease_is_the_ridge_regression_of_every_item_on_the_other_items(regularisation):
    liked = random_liked()
    expected = np.zeros((liked.shape[1],) * 2)
    for item in range(liked.shape[1]):
        predictors = np.delete(np.arange(liked.shape[1]), item)
        ridge = Ridge(alpha=regularisation, fit_intercept=False).fit(liked[:, predictors], liked[:, item])
        expected[predictors, item] = ridge.coef_
    weights = ease(CoCounts.count(sp.csr_array(liked), max_items=liked.shape[1]), regularisation)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_fitting_does_not_change_the_counts():
    counts = CoCounts.count(sp.csr_array(random_liked()), max_items=14)
    before = counts.gram.copy()
    ease(counts, 10.0)
    item_knn(counts, 10.0)
    np.testing.assert_array_equal(counts.gram, before)


def test_scores_are_sums_of_the_weights_of_liked_items_and_zero_for_uncovered_ones():
    weights = np.array([[0, 2, 3], [5, 0, 7], [11, 13, 0]], dtype=np.float32)
    model = ItemItem(weights, kept=np.array([0, 2, 3]), n_items=5, liked_at_least=LIKED_AT_LEAST)
    scores = model.score(support_of([(0, LIKED), (2, LIKED)], [(3, LIKED), (0, DISLIKED)], [(1, LIKED)], []))
    assert scores.tolist() == [[5, 0, 2, 10, 0], [11, 0, 13, 0, 0], [0] * 5, [0] * 5]
