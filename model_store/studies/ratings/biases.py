"""Baselines of rating prediction: the mean, user and item biases, and a ridge on the items' content.

Each is tuned on the validation users by mean absolute error. The tuning includes rounding to the scale's levels, which
is worth several percent and which the model's readout has too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import lsmr

from model_store.data.schema import Events, ItemFeatures
from model_store.studies.ratings.fitting import DividedUsers
from model_store.studies.ratings.model import Predictions, feature_matrix
from model_store.studies.ratings.rated_users import RatedUsers

ROUNDS = 6
SHRINKAGES = (2.0, 5.0, 10.0)
RIDGES = (1.0, 4.0, 16.0)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Biases:
    """Rating = mean + user's bias + item's bias (Koren 2009, section 2.1); a user's bias is fitted to the support.

    Attributes:
        mean: of the training ratings.
        items: float64 (n_items,), bias of each item.
        shrinkage: number of ratings at the mean that are added to a user's.
        levels: the scale to round to, float32 (n_levels,); None leaves predictions as they are.
    """

    mean: float
    items: Vector
    shrinkage: float
    levels: NDArray[np.float32] | None = None

    def predict(self, support: RatedUsers, query: Events) -> Predictions:
        """Predictions for the query, the scores unrounded."""
        events = support.events
        above = events.values - self.mean - self.items[events.items]
        bias = _means(_users(events), above, events.n_users, self.shrinkage)
        scores = self.mean + bias[_users(query)] + self.items[query.items]
        return Predictions(scores if self.levels is None else nearest(self.levels, scores), scores)


def nearest(levels: NDArray[np.float32], values: Vector) -> Vector:
    """The level nearest to each value."""
    between = (levels[1:] + levels[:-1]) / 2
    return levels[np.searchsorted(between, values)].astype(np.float64)


def baselines(training: RatedUsers, validation: RatedUsers, features: ItemFeatures) -> Iterator[tuple[str, Biases]]:
    """Every baseline by name, fitted on ``training`` and tuned on ``validation``.

    Args:
        training: ratings to learn from.
        validation: ratings of other users.
        features: of the items; without features the ridge is left out.
    """
    users, levels, content = DividedUsers.of(validation), np.unique(training.events.values), feature_matrix(features)
    mean_only = Biases(float(training.events.values.mean()), np.zeros(content.shape[0]), np.inf)
    yield "global mean", _best(users, levels, [mean_only])
    yield "user + item bias", _best(users, levels, [fit(training, content, shrinkage) for shrinkage in SHRINKAGES])
    if features.names:
        grid = [fit(training, content, shrinkage, ridge) for shrinkage, ridge in product(SHRINKAGES, RIDGES)]
        yield "content ridge", _best(users, levels, grid)


def fit(training: RatedUsers, features: sp.csr_array, shrinkage: float, ridge: float | None = None) -> Biases:
    """Fit user and item biases in turn, each a shrunk mean of the other's residuals.

    With ``ridge``, an item's bias is a ridge regression on its content plus a shrunk mean of the residuals, so that
    new items have a bias too.
    """
    events = training.events
    mean, users_of_events = float(events.values.mean()), _users(events)
    above, n_items = events.values - mean, features.shape[0]
    counts = np.bincount(events.items, minlength=n_items)
    items, base = np.zeros(n_items), np.zeros(n_items)
    for _ in range(ROUNDS):
        users = _means(users_of_events, above - items[events.items], events.n_users, shrinkage)
        residuals = above - users[users_of_events]
        if ridge is not None:
            base = _content_part(features, counts, _means(events.items, residuals, n_items, 0.0), ridge)
        items = base + _means(events.items, residuals - base[events.items], n_items, shrinkage)
    return Biases(mean, items, shrinkage)


def _content_part(features: sp.csr_array, counts: NDArray[np.int64], means: Vector, ridge: float) -> Vector:
    """Ridge regression of the items' means on their features, weighted by their ratings: float64 (n_items,)."""
    weights = np.sqrt(counts)
    coefficients = lsmr(features.multiply(weights[:, None]).tocsr(), weights * means, damp=np.sqrt(ridge))[0]
    return np.asarray(features @ coefficients)


def _best(users: DividedUsers, levels: NDArray[np.float32], candidates: list[Biases]) -> Biases:
    rounded = [replace(biases, levels=levels) for biases in candidates]
    return min(candidates + rounded, key=lambda biases: _error(biases, users))


def _error(biases: Biases, users: DividedUsers) -> float:
    return float(np.abs(biases.predict(users.support, users.query).ratings - users.query.values).mean())


def _users(events: Events) -> NDArray[np.int64]:
    """Row of the user of each event, int64 (n_events,)."""
    return np.repeat(np.arange(events.n_users), events.lengths())


def _means(groups: NDArray[Any], values: NDArray[Any], n_groups: int, shrinkage: float) -> Vector:
    """Sum of each group over its size plus ``shrinkage``, 0 for an empty group."""
    sums, counts = np.bincount(groups, values, n_groups), np.bincount(groups, minlength=n_groups)
    return np.asarray(sums / np.maximum(counts + shrinkage, 1e-9))
