"""The item encoder: item vectors and their start."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from model_store.data.schema import ItemFeatures
from model_store.meta.statistics import Statistics

SVD_SCALE = 4.0


class ItemEncoder(nn.Module):
    """Item vectors as a sum of an id part and a content part, so that items without history have vectors too.

    Both are learned in one training. Afterwards ``mapping`` fits the content part to stand alone and sets the base.
    """

    base: Tensor
    features: Tensor
    prior: Tensor
    prior_by_feature: Tensor
    prior_of_new: Tensor

    def __init__(self, id_vectors: Tensor, features: Tensor, prior: Tensor, prior_of_new: float) -> None:
        """Start with the content part at zero.

        Args:
            id_vectors: float32 (n_items, dim).
            features: sparse float32 (n_items, n_features), n_features ≥ 1.
            prior: float32 (n_items,), centred log popularity.
            prior_of_new: the prior of an item without history.
        """
        super().__init__()
        self.id_vectors = nn.Parameter(id_vectors)
        self.content = nn.Parameter(torch.zeros(features.shape[1], id_vectors.shape[1]))
        self.register_buffer("base", torch.zeros(id_vectors.shape[1]))
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("prior_by_feature", torch.zeros(features.shape[1], 1))
        self.register_buffer("prior", prior.unsqueeze(1))
        self.register_buffer("prior_of_new", torch.tensor([prior_of_new]))

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return len(self.prior)

    def vectors(self) -> Tensor:
        """All item vectors, float32 (n_items, dim + 1); the last column is the prior."""
        learned = self.base + self.id_vectors + torch.sparse.mm(self.features, self.content)
        return torch.cat([learned, self.prior], dim=1)

    def by_content(self) -> Tensor:
        """The vectors that all items would have without their history, float32 (n_items, dim + 1)."""
        learned = self.base + torch.sparse.mm(self.features, self.content)
        return torch.cat([learned, self.prior_of_new + torch.sparse.mm(self.features, self.prior_by_feature)], dim=1)

    def forward(self, feature_ids: Tensor, feature_weights: Tensor) -> Tensor:
        """Vector of an item without history from its features (F,), float32 (dim + 1,)."""
        weights = feature_weights.unsqueeze(0)
        learned = self.base + (weights @ self.content[feature_ids]).squeeze(0)
        prior = self.prior_of_new + (weights @ self.prior_by_feature[feature_ids]).squeeze(0)
        return torch.cat([learned, prior])


def svd_start(statistics: Statistics, dim: int, seed: int) -> Tensor:
    """First id vectors, float32 (n_items, dim): right singular vectors of the centred liked matrix, scaled.

    Dimensions beyond the rank of the data are noise. If every item is liked by all users or by none, the centred
    matrix is zero, and all dimensions are noise.
    """
    liked = statistics.liked
    n_users, n_items = liked.shape
    varies = bool(((statistics.counts > 0) & (statistics.counts < n_users)).any())
    rank = min(dim, min(n_users, n_items) - 1)
    start = 0.01 * torch.randn(n_items, dim, generator=torch.Generator().manual_seed(seed))
    if rank > 0 and varies:
        first = np.random.default_rng(seed).standard_normal(min(n_users, n_items)).astype(np.float32)
        _, singular, right = svds(_centred(statistics), k=rank, v0=first)
        scaled = right.T * np.sqrt(singular / singular.max())
        start[:, :rank] = SVD_SCALE * torch.from_numpy(scaled[:, ::-1].copy()).float()
    return start


def _centred(statistics: Statistics) -> sp.linalg.LinearOperator:
    """The liked matrix minus its column means, which stays sparse this way."""
    liked = statistics.liked
    mean: NDArray[np.float32] = (statistics.counts / liked.shape[0]).astype(np.float32)
    return sp.linalg.LinearOperator(
        shape=liked.shape,
        dtype=np.float32,
        matvec=lambda v: liked @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda u: liked.T @ u.ravel() - mean * u.sum(),
    )


def feature_matrix(features: ItemFeatures, *, use: bool) -> Tensor:
    """Sparse float32 (n_items, n_features); one empty column if there are no features or ``use`` is false."""
    n_items = len(features.indptr) - 1
    if not (use and features.names):
        nothing = np.zeros(0, np.int64)
        return _sparse(nothing, nothing, np.zeros(0, np.float32), (n_items, 1))
    rows = np.repeat(np.arange(n_items), np.diff(features.indptr))
    return _sparse(rows, features.indices, features.weights, (n_items, len(features.names)))


def _sparse(
    rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float32], shape: tuple[int, int]
) -> Tensor:
    indices = torch.from_numpy(np.stack([rows, columns]))
    return torch.sparse_coo_tensor(indices, torch.from_numpy(weights), shape, check_invariants=True).coalesce()
