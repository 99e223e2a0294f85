"""Baselines of rating prediction, fitted to ratings that are known sums."""

from __future__ import annotations

import numpy as np
from small_ratings import one_hot

from model_store.data.schema import Events
from model_store.studies.ratings.biases import Biases, fit, nearest
from model_store.studies.ratings.model import feature_matrix
from model_store.studies.ratings.rated_users import RatedUsers


def biased(n_users: int = 6, n_items: int = 8) -> tuple[RatedUsers, np.ndarray, np.ndarray]:
    """Ratings that are a user's bias plus an item's, both with mean 0, plus 3."""
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=n_users), rng.normal(size=n_items)
    users, items = users - users.mean(), items - items.mean()
    values = (3 + users[:, None] + items).astype(np.float32).ravel()
    rows = np.tile(np.arange(n_items), n_users).astype(np.int32)
    events = Events(np.arange(0, len(rows) + 1, n_items), rows, values, np.zeros(len(rows)))
    return RatedUsers(np.arange(n_users), events), users, items


def test_biases_are_recovered_from_their_sums() -> None:
    rated, _, items = biased()
    fitted = fit(rated, feature_matrix(one_hot(8)), shrinkage=1e-9)
    np.testing.assert_allclose(fitted.items, items, atol=1e-5)
    predicted = fitted.predict(rated, rated.events)
    np.testing.assert_allclose(predicted.ratings, rated.events.values, atol=1e-5)


def test_the_content_ridge_is_ridge_regression_on_item_means() -> None:
    """With one feature per item, the bias is the mean of its ratings times n / (n + ridge)."""
    rated, _, items = biased()
    fitted = fit(rated, feature_matrix(one_hot(8)), shrinkage=1e9, ridge=3.0)
    np.testing.assert_allclose(fitted.items, items * 6 / (6 + 3), atol=1e-4)


def test_predictions_are_rounded_to_the_nearest_level() -> None:
    levels = np.array([1, 2, 4], dtype=np.float32)
    assert nearest(levels, np.array([-5, 1.4, 1.6, 2.9, 3.1, 9])).tolist() == [1, 1, 2, 2, 4, 4]
    rated, _, _ = biased()
    rounded = Biases(3.0, np.zeros(8), 1.0, levels).predict(rated, rated.events)
    assert set(rounded.ratings) <= {1, 2, 4}
    assert len(set(rounded.scores)) == 6
