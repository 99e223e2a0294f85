"""Vectors for items without history, by an attribute-to-feature mapping.

Gantner et al. 2010, "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations" (ICDM). During training, an
item's id part also learns what its content could explain, so the content part cannot stand alone. So after the
training, the learned vectors v_i of the items with history are regressed on their features f_i, each weighted by
how much is known about it, c_i = (n_i + 1) / (n_i + 1 + n̄) for n_i likes, n̄ on average,

    min over M   Σ_i c_i |v_i − b − Mᵀf_i|² + λ|M|²,      b = Σ_i c_i v_i / Σ_i c_i.

The popularity prior is regressed in the same way. Some columns of content explain much of it and most nothing, so the
features of each column are first scaled by the factor that serves held-out items best, 0 included.

An item without history gets the vector b + Mᵀf. In its prior, b would make it as popular as other items, so it gets
Mᵀf plus the prior of an item without likes. b is the mean and not a free intercept, so that an item without content is
a typical one too. The vectors and scores of items with history stay the same; the mapping only moves the boundary
between their content part and their id part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.data.schema import Events
from model_store.meta.items.encoder import ItemEncoder
from model_store.meta.supports import LEARNED, PRIOR

Matrix = NDArray[np.float64]

REGULARISATIONS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
SCALES = (0.0, 0.5, 2.0, 4.0)
SWEEPS = 2
# A scale is kept if it reduces the error by this share; smaller gains are chance.
WORTHWHILE = 0.005
VALIDATION_SHARE = 0.2
# Settings are chosen on this many random combinations of the targets, at a fraction of the cost; squared errors are
# preserved (Johnson & Lindenstrauss 1984).
SKETCHED_TARGETS = 16
TOLERANCE = 1e-6
MAX_ITERATIONS = 1000
TINY = 1e-300


@dataclass(frozen=True)
class Mapping:
    """A regression of item targets on item features.

    Attributes:
        base: float64 (n_targets,), the targets of an item without features.
        by_feature: float64 (n_features, n_targets).
        regularisation: λ, chosen on items held out of a first fit.
        explained: estimated share of the weighted variance of those items' targets that the features explain; 0 or
            less if they explain nothing.
    """

    base: Matrix
    by_feature: Matrix
    regularisation: float
    explained: float

    def __call__(self, features: sp.csr_array) -> Matrix:
        """Targets of the items with ``features`` (n, n_features), (n, n_targets)."""
        return np.asarray(self.base + features @ self.by_feature)


def knowledge(likes: Matrix) -> Matrix:
    """c_i of items with these ``likes`` (n_items,): in 0 … 1, a half at the average."""
    return np.asarray((likes + 1) / (likes + 1 + likes.mean()))


@dataclass(frozen=True)
class _Trial:
    """A regression that is judged on items held out of it.

    Attributes:
        features: (n_items, n_features).
        targets: (n_items, n_targets).
        weights: (n_items,), c_i.
        held_out: bool (n_items,), the items to judge on.
    """

    features: sp.csr_array
    targets: Matrix
    weights: Matrix
    held_out: NDArray[np.bool_]

    def error(self, regularisation: float, scales: Matrix | None = None) -> float:
        """Weighted squared error on the held-out items, fitted to the others with ``scales`` (n_features,)."""
        features = self.features if scales is None else sp.csr_array(self.features * scales)
        base, by_feature = ridge(features, self.targets, np.where(self.held_out, 0, self.weights), regularisation)
        return self._error(base + features @ by_feature)

    def variance(self) -> float:
        """The error of the mean."""
        return self._error(np.average(self.targets, axis=0, weights=self.weights))

    def _error(self, predicted: Matrix) -> float:
        return float(self.weights[self.held_out] @ np.square(self.targets - predicted).sum(1)[self.held_out])


def fit_mapping(
    features: sp.csr_array,
    targets: Matrix,
    weights: Matrix,
    rng: np.random.Generator,
    columns: NDArray[np.int64] | None = None,
) -> Mapping:
    """Choose λ, and the scale of each column, on a fifth of the items; then fit on all of them.

    Args:
        features: (n_items, n_features).
        targets: (n_items, n_targets).
        weights: (n_items,), c_i ≥ 0.
        rng: deals the items.
        columns: int64 (n_features,), the column of the items that each feature is from; without them nothing is scaled.
    """
    held_out = rng.permutation(len(targets)) < int(VALIDATION_SHARE * len(targets))
    trial = _Trial(features, _sketch(targets, rng), weights, held_out)
    errors = [trial.error(regularisation) for regularisation in REGULARISATIONS]
    error, regularisation = min(errors), REGULARISATIONS[int(np.argmin(errors))]
    scales = np.ones(features.shape[1])
    if columns is not None:
        error, scales = _scale_columns(trial, regularisation, error, columns)
    base, by_feature = ridge(sp.csr_array(features * scales), targets, weights, regularisation)
    variance = trial.variance()
    explained = 1 - error / variance if variance else 0.0
    return Mapping(base, scales[:, None] * by_feature, regularisation, explained)


def _sketch(targets: Matrix, rng: np.random.Generator) -> Matrix:
    n_targets = targets.shape[1]
    if n_targets <= SKETCHED_TARGETS:
        return targets
    return np.asarray(targets @ rng.standard_normal((n_targets, SKETCHED_TARGETS)) / np.sqrt(SKETCHED_TARGETS))


def _scale_columns(
    trial: _Trial, regularisation: float, error: float, columns: NDArray[np.int64]
) -> tuple[float, Matrix]:
    """Scale one column after the other by the best factor; the remaining error and the scales (n_features,)."""
    scales = np.ones(columns.max() + 1)
    for column in [*range(len(scales))] * SWEEPS:
        for factor in SCALES if scales[column] else ():
            tried = scales.copy()
            tried[column] *= factor
            scaled_error = trial.error(regularisation, tried[columns])
            if scaled_error < (1 - WORTHWHILE) * error:
                error, scales = scaled_error, tried
    return error, scales[columns]


def columns_of(names: list[str]) -> NDArray[np.int64]:
    """The column of each feature, by its name ("genre=Comedy", "plot~toy", "image[3]"), int64 (n_features,)."""
    columns = [re.split(r"[=~\[]", name, maxsplit=1)[0] for name in names]
    return np.unique(columns, return_inverse=True)[1].astype(np.int64)


def ridge(features: sp.csr_array, targets: Matrix, weights: Matrix, regularisation: float) -> tuple[Matrix, Matrix]:
    """Weighted ridge regression around the mean; that (n_targets,) and coefficients (n_features, n_targets).

    Solves the normal equations (FᵀCF + λI) M = FᵀC(V − b) by conjugate gradients, preconditioned with their diagonal
    (Hestenes & Stiefel 1952; Jacobi), all targets at once: features are many and sparse, and a dense factorisation
    would not scale with them.
    """
    mean = weights @ targets / weights.sum()
    right = features.T @ (weights[:, None] * (targets - mean))

    def normal(x: Matrix) -> Matrix:
        """(FᵀCF + λI) x."""
        return np.asarray(features.T @ (weights[:, None] * (features @ x)) + regularisation * x)

    diagonal = features.multiply(features).T @ weights + regularisation
    return mean, _conjugate_gradients(normal, np.asarray(right), diagonal[:, None])


def _conjugate_gradients(matrix: Callable[[Matrix], Matrix], right: Matrix, diagonal: Matrix) -> Matrix:
    """Solve ``matrix`` · x = ``right`` column by column, at once; ``matrix`` is symmetric and positive definite."""
    x, residual = np.zeros_like(right), right.copy()
    direction = residual / diagonal
    norm = (residual * direction).sum(0)
    enough = TOLERANCE**2 * norm
    for _ in range(MAX_ITERATIONS):
        if (norm <= enough).all():
            break
        image = matrix(direction)
        # A column that has converged has no direction left: 0 / 0.
        step = norm / np.maximum((direction * image).sum(0), TINY)
        x += step * direction
        residual -= step * image
        towards = residual / diagonal
        before, norm = norm, (residual * towards).sum(0)
        direction = towards + norm / np.maximum(before, TINY) * direction
    return x


def map_content(
    encoder: ItemEncoder, names: list[str], training: Events, liked_at_least: float, seed: int
) -> dict[str, float]:
    """Make the content part of ``encoder`` stand alone, and give items without history vectors by it.

    The vectors of the items with history stay as they are.

    Args:
        encoder: trained.
        names: of its features; empty if it uses none.
        training: events of the training users; an item without any is without history.
        liked_at_least: value from which on an event is liked.
        seed: deals the items that the regularisation is chosen on.

    Returns:
        For the report: the regularisation chosen and the share of variance explained, for the vectors and the prior.
    """
    features = _features(encoder)
    has_history = np.bincount(training.items, minlength=encoder.n_items) > 0
    liked = training.items[training.values >= liked_at_least]
    weights = knowledge(np.bincount(liked, minlength=encoder.n_items)[has_history].astype(float))
    learned = encoder.vectors().detach().double().numpy()
    rng = np.random.default_rng(seed)
    vectors = fit_mapping(features[has_history], learned[has_history, LEARNED], weights, rng)
    columns = columns_of(names) if names else None
    prior = fit_mapping(features[has_history], learned[has_history, PRIOR], weights, rng, columns)
    _install(encoder, torch.from_numpy(learned), torch.from_numpy(has_history), vectors, prior)
    return {
        "vector_regularisation": vectors.regularisation,
        "vector_explained": vectors.explained,
        "prior_regularisation": prior.regularisation,
        "prior_explained": prior.explained,
    }


@torch.no_grad()
def _install(encoder: ItemEncoder, learned: Tensor, has_history: Tensor, vectors: Mapping, prior: Mapping) -> None:
    encoder.base.copy_(torch.from_numpy(vectors.base))
    encoder.content.copy_(torch.from_numpy(vectors.by_feature))
    encoder.prior_by_feature.copy_(torch.from_numpy(prior.by_feature))
    encoder.id_vectors.zero_()
    by_content = encoder.by_content()
    id_part = learned.float()[:, LEARNED] - by_content[:, LEARNED]
    encoder.id_vectors.copy_(torch.where(has_history.unsqueeze(1), id_part, 0.0))
    encoder.prior.copy_(torch.where(has_history.unsqueeze(1), encoder.prior, by_content[:, PRIOR]))


def _features(encoder: ItemEncoder) -> sp.csr_array:
    """The encoder's features, float64 (n_items, n_features)."""
    features = encoder.features
    rows, columns = features.indices().numpy()
    return sp.csr_array((features.values().double().numpy(), (rows, columns)), shape=tuple(features.shape))
