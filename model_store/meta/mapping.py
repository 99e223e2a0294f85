"""Vectors for items without history, by an attribute-to-feature mapping.

Gantner et al. 2010, "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations" (ICDM). While vectors are
learned, an item's own part takes up what its content could have said, so the content part cannot stand alone. So after
the training, the learned vectors v_i of the items with history are regressed on their features
f_i, each weighted by how much is known about it, c_i = (n_i + 1) / (n_i + 1 + n̄) for n_i likes, n̄ on average,

    min over b, M   Σ_i c_i |v_i − b − Mᵀf_i|² + λ|M|²,

and so is the popularity prior. An item without history gets b + Mᵀf. Of an item with history the mapping only moves
what is called its own part: its vector, and with it every k-shot figure, stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.data.schema import Events
from model_store.meta.network import ItemEncoder

Matrix = NDArray[np.float64]

REGULARISATIONS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
VALIDATION_SHARE = 0.2
TOLERANCE = 1e-7
MAX_ITERATIONS = 1000
TINY = 1e-300


@dataclass(frozen=True)
class Mapping:
    """A regression of item targets on item features.

    Attributes:
        base: float64 (n_targets,), what an item without any feature gets.
        by_feature: float64 (n_features, n_targets).
        regularisation: λ, chosen on items held out of a first fit.
        explained: share of the weighted variance of those items' targets that the features explain; 0 and less
            where they say nothing.
    """

    base: Matrix
    by_feature: Matrix
    regularisation: float
    explained: float

    def __call__(self, features: sp.csr_array) -> Matrix:
        """Targets of the items with ``features`` (n, n_features), (n, n_targets)."""
        return np.asarray(self.base + features @ self.by_feature)


def knowledge(likes: Matrix) -> Matrix:
    """How much is known about items with so many ``likes`` (n_items,): c_i in 0 … 1, a half at the average."""
    return np.asarray((likes + 1) / (likes + 1 + likes.mean()))


def fit_mapping(features: sp.csr_array, targets: Matrix, weights: Matrix, rng: np.random.Generator) -> Mapping:
    """Choose λ on a fifth of the items, then fit on all of them.

    Args:
        features: (n_items, n_features).
        targets: (n_items, n_targets).
        weights: (n_items,), c_i ≥ 0.
        rng: deals the items.
    """
    held_out = rng.permutation(len(targets)) < int(VALIDATION_SHARE * len(targets))
    mean = np.average(targets, axis=0, weights=weights)
    variance = _error(targets, mean, weights, held_out)
    errors = []
    for regularisation in REGULARISATIONS:
        base, by_feature = ridge(features, targets, np.where(held_out, 0, weights), regularisation)
        errors.append(_error(targets, base + features @ by_feature, weights, held_out))
    best = int(np.argmin(errors))
    base, by_feature = ridge(features, targets, weights, REGULARISATIONS[best])
    return Mapping(base, by_feature, REGULARISATIONS[best], 1 - errors[best] / variance if variance else 0.0)


def _error(targets: Matrix, found: Matrix, weights: Matrix, among: NDArray[np.bool_]) -> float:
    return float(weights[among] @ np.square(targets - found).sum(1)[among])


def ridge(features: sp.csr_array, targets: Matrix, weights: Matrix, regularisation: float) -> tuple[Matrix, Matrix]:
    """Weighted ridge regression with a free intercept; its (n_targets,) and coefficients (n_features, n_targets).

    Solves the normal equations (FᵀCF + λI) M = FᵀCV of the centred problem by conjugate gradients, preconditioned with
    their diagonal (Hestenes & Stiefel 1952; Jacobi), all targets at once: features are many and sparse, and a dense
    factorisation would not scale with them.
    """
    total = weights.sum()
    mean_features, mean = features.T @ weights / total, weights @ targets / total
    centred = weights[:, None] * (targets - mean)

    def normal(x: Matrix) -> Matrix:
        """(FᵀCF + λI) x for centred F, which is never made: it would be dense."""
        predicted = weights[:, None] * (features @ x - mean_features @ x)
        return np.asarray(features.T @ predicted - np.outer(mean_features, predicted.sum(0)) + regularisation * x)

    diagonal = features.multiply(features).T @ weights + regularisation
    coefficients = _conjugate_gradients(normal, np.asarray(features.T @ centred), diagonal[:, None])
    return mean - mean_features @ coefficients, coefficients


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
        # A column that has arrived has nowhere to go: 0 / 0.
        step = norm / np.maximum((direction * image).sum(0), TINY)
        x += step * direction
        residual -= step * image
        towards = residual / diagonal
        before, norm = norm, (residual * towards).sum(0)
        direction = towards + norm / np.maximum(before, TINY) * direction
    return x


def map_content(encoder: ItemEncoder, training: Events, liked_at_least: float, seed: int) -> dict[str, float]:
    """Let the content part of ``encoder`` stand alone, and give items without history vectors by it.

    The vectors of the items with history stay as they are.

    Args:
        encoder: trained.
        training: events of the training users; an item without any is without history.
        liked_at_least: what counts as liked.
        seed: deals the items that the regularisation is chosen on.

    Returns:
        For the report: regularisation chosen and share of variance explained, of the vectors and of the prior.
    """
    n_items = len(encoder.prior)
    features = _features(encoder)
    known = np.bincount(training.items, minlength=n_items) > 0
    likes = np.bincount(training.items[training.values >= liked_at_least], minlength=n_items)[known].astype(float)
    learned = encoder.vectors().detach().double().numpy()
    rng = np.random.default_rng(seed)
    weights = knowledge(likes)
    vectors = fit_mapping(features[known], learned[known, :-1], weights, rng)
    prior = fit_mapping(features[known], learned[known, -1:], weights, rng)
    _install(encoder, torch.from_numpy(learned), torch.from_numpy(known), vectors, prior)
    return {
        "vector_regularisation": vectors.regularisation,
        "vector_explained": vectors.explained,
        "prior_regularisation": prior.regularisation,
        "prior_explained": prior.explained,
    }


@torch.no_grad()
def _install(encoder: ItemEncoder, learned: Tensor, known: Tensor, vectors: Mapping, prior: Mapping) -> None:
    encoder.base.copy_(torch.from_numpy(vectors.base))
    encoder.content.copy_(torch.from_numpy(vectors.by_feature))
    encoder.prior_by_feature.copy_(torch.from_numpy(prior.by_feature))
    encoder.id_vectors.zero_()
    by_content = encoder.by_content()
    own = learned.float()[:, :-1] - by_content[:, :-1]
    encoder.id_vectors.copy_(torch.where(known.unsqueeze(1), own, 0.0))
    encoder.prior.copy_(torch.where(known.unsqueeze(1), encoder.prior, by_content[:, -1:]))


def _features(encoder: ItemEncoder) -> sp.csr_array:
    """The encoder's features, float64 (n_items, n_features)."""
    features = encoder.features
    rows, columns = features.indices().numpy()
    return sp.csr_array((features.values().double().numpy(), (rows, columns)), shape=tuple(features.shape))
