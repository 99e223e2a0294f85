"""Baselines of rating prediction: the mean, user and item biases, and a ridge on the items' content.

Each is tuned on the validation users by mean absolute error, rounding to the scale's levels included: that is worth
several percent, and the model's readout has it too.
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
from model_store.studies.ratings.episodes import RatedUsers
from model_store.studies.ratings.model import Predictions, feature_matrix
from model_store.studies.ratings.training import Asked

ROUNDS = 6
SHRINKAGES = (2.0, 5.0, 10.0)
RIDGES = (1.0, 4.0, 16.0)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Biases:
    """Rating = mean + user's bias + item's bias (Koren 2009, section 2.1); a user's is found from the support.

    Attributes:
        mean: of the training ratings.
        items: float64 (n_items,), bias of each item.
        shrinkage: ratings at the mean that a user is taken to have given beside the real ones.
        levels: the scale to round to, float32 (n_levels,); None leaves predictions as they are.
    """

    mean: float
    items: Vector
    shrinkage: float
    levels: NDArray[np.float32] | None = None

    def predict(self, support: RatedUsers, query: Events) -> Predictions:
        """Predictions for the query, the scores unrounded."""
        told, asked = support.events, query
        above = told.values - self.mean - self.items[told.items]
        bias = _means(_owners(told), above, told.n_users, self.shrinkage)
        scores = self.mean + bias[_owners(asked)] + self.items[asked.items]
        return Predictions(scores if self.levels is None else nearest(self.levels, scores), scores)


def nearest(levels: NDArray[np.float32], values: Vector) -> Vector:
    """The level nearest to each value."""
    between = (levels[1:] + levels[:-1]) / 2
    return levels[np.searchsorted(between, values)].astype(np.float64)


def baselines(training: RatedUsers, validation: RatedUsers, features: ItemFeatures) -> Iterator[tuple[str, Biases]]:
    """Every baseline by name, tuned; fitted on ``training``, chosen on ``validation``.

    Args:
        training: ratings to learn from.
        validation: ratings of other users.
        features: of the items; without any there is no ridge.
    """
    asked, levels, content = Asked.of(validation), np.unique(training.events.values), feature_matrix(features)
    nothing = Biases(float(training.events.values.mean()), np.zeros(content.shape[0]), np.inf)
    yield "global mean", _best(asked, levels, [nothing])
    yield "user + item bias", _best(asked, levels, [fit(training, content, each) for each in SHRINKAGES])
    if features.names:
        grid = [fit(training, content, each, ridge) for each, ridge in product(SHRINKAGES, RIDGES)]
        yield "content ridge", _best(asked, levels, grid)


def fit(training: RatedUsers, features: sp.csr_array, shrinkage: float, ridge: float | None = None) -> Biases:
    """Fit user and item biases in turn, each a shrunk mean of what the other leaves.

    With ``ridge`` an item's bias is a ridge regression on its content plus a shrunk mean of what that leaves, so that
    new items have one too.
    """
    events = training.events
    mean, owners = float(events.values.mean()), _owners(events)
    above, n_items = events.values - mean, features.shape[0]
    counts = np.bincount(events.items, minlength=n_items)
    items, base = np.zeros(n_items), np.zeros(n_items)
    for _ in range(ROUNDS):
        users = _means(owners, above - items[events.items], events.n_users, shrinkage)
        rest = above - users[owners]
        if ridge is not None:
            base = _content_part(features, counts, _means(events.items, rest, n_items, 0.0), ridge)
        items = base + _means(events.items, rest - base[events.items], n_items, shrinkage)
    return Biases(mean, items, shrinkage)


def _content_part(features: sp.csr_array, counts: NDArray[np.int64], means: Vector, ridge: float) -> Vector:
    """Ridge regression of the items' means on their features, weighted by their ratings: float64 (n_items,)."""
    weights = np.sqrt(counts)
    coefficients = lsmr(features.multiply(weights[:, None]).tocsr(), weights * means, damp=np.sqrt(ridge))[0]
    return np.asarray(features @ coefficients)


def _best(asked: Asked, levels: NDArray[np.float32], candidates: list[Biases]) -> Biases:
    rounded = [replace(each, levels=levels) for each in candidates]
    return min(candidates + rounded, key=lambda each: _error(each, asked))


def _error(biases: Biases, asked: Asked) -> float:
    return float(np.abs(biases.predict(asked.support, asked.query).ratings - asked.query.values).mean())


def _owners(events: Events) -> NDArray[np.int64]:
    """Row of the user of each event, int64 (n_events,)."""
    return np.repeat(np.arange(events.n_users), events.lengths())


def _means(groups: NDArray[Any], values: NDArray[Any], n_groups: int, shrinkage: float) -> Vector:
    """Sum of each group over its size plus ``shrinkage``, 0 for an empty group."""
    sums, counts = np.bincount(groups, values, n_groups), np.bincount(groups, minlength=n_groups)
    return np.asarray(sums / np.maximum(counts + shrinkage, 1e-9))
