"""The rating model: item vectors of content and id, a start by the user's attributes, the inner loop, the readout.

The score of item i for user u is z = b_i + w_u · [x_i, 1], in the ratings' unit above their mean. Vector x_i and bias
b_i are a content part plus an id part. An item that no training user rated has no id part, and training hides the id
parts of some episodes, so that the content part learns to stand alone (DropoutNet, Volkovs et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.config import RatingConfig
from model_store.data.schema import Events, ItemFeatures
from model_store.studies.ratings.rated_users import Rated, RatedUsers, pad
from model_store.studies.ratings.readout import OrdinalReadout
from model_store.studies.ratings.squared_loop import SquaredLoop

FIRST_NORM = 0.05
# A bias varies more than a coordinate of a vector, so the same penalty would be too strong for it.
BIAS_PENALTY = 0.1
BATCH = 1024


@dataclass(frozen=True)
class SideInformation:
    """Information beside the ratings.

    Attributes:
        features: of the items, one row per item of the catalogue.
        attributes: of the users, one row per user of the source; without names if the data has none.
    """

    features: ItemFeatures
    attributes: ItemFeatures


class Predictions(NamedTuple):
    """Predictions of query ratings, in the order of the events.

    Attributes:
        ratings: float64 (n,), the predicted ratings.
        scores: float64 (n,), to rank by.
    """

    ratings: NDArray[np.float64]
    scores: NDArray[np.float64]


class RatingModel(nn.Module):
    """Prediction of users' ratings from a few of their ratings."""

    features: Tensor
    attributes: Tensor
    has_id: Tensor
    mean: Tensor

    def __init__(self, side: SideInformation, training: RatedUsers, config: RatingConfig) -> None:
        """Start from small random vectors.

        Args:
            side: features of items and attributes of users.
            training: ratings to learn from; they give the mean, the scale, and the items with an id part.
            config: sizes and seed.
        """
        super().__init__()
        generator = torch.Generator().manual_seed(config.seed)
        features, attributes = feature_matrix(side.features), feature_matrix(side.attributes)
        n_items, width = features.shape[0], config.dim + 1
        levels, counts = np.unique(training.events.values, return_counts=True)
        # The last column is the bias.
        self.ids = nn.Parameter(FIRST_NORM * torch.randn(n_items, width, generator=generator))
        self.content = nn.Parameter(FIRST_NORM * torch.randn(features.shape[1], width, generator=generator))
        self.start = nn.Parameter(torch.zeros(width))
        self.start_by_attribute = nn.Parameter(torch.zeros(attributes.shape[1], width))
        self.inner = SquaredLoop(width, config.inner_steps)
        self.readout = OrdinalReadout(levels, counts)
        has_id = np.bincount(training.events.items, minlength=n_items) > 0
        self.register_buffer("features", _tensor(features), persistent=False)
        self.register_buffer("attributes", _tensor(attributes), persistent=False)
        self.register_buffer("has_id", torch.from_numpy(has_id).float())
        self.register_buffer("mean", torch.tensor(float(training.events.values.mean())))

    def forward(self, users: Tensor, support: Rated, query: Rated, hidden: Tensor | None = None) -> Tensor:
        """Scores z of the query, float32 (B, Q).

        Args:
            users: int64 (B,), codes of the users, for their attributes.
            support: the ratings to adapt from.
            query: the items to score; its values are not read.
            hidden: float32 (B, 1), 1 for episodes without id parts; no episode if absent.
        """
        content = torch.sparse.mm(self.features, self.content)
        seen = torch.ones(len(users), 1) if hidden is None else 1 - hidden
        x, bias, has_id = self._items(content, support.items, seen)
        residuals = support.values - self.mean - bias
        new = ((1 - has_id) * support.mask).sum(1, keepdim=True) / support.mask.sum(1, keepdim=True).clamp(min=1)
        start = self.start + torch.sparse.mm(self.attributes, self.start_by_attribute)[users]
        w = self.inner(start, x, residuals, support.mask, new)
        x, bias, _ = self._items(content, query.items, seen)
        return torch.bmm(x, w.unsqueeze(-1)).squeeze(-1) + bias

    def _items(self, content: Tensor, items: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors [x, 1] (B, S, dim + 1), biases (B, S), and 1 for items with an id part (B, S)."""
        has_id = self.has_id[items] * seen
        vectors = content[items] + self.ids[items] * has_id.unsqueeze(-1)
        x, bias = vectors[..., :-1], vectors[..., -1]
        return torch.cat([x, torch.ones_like(bias).unsqueeze(-1)], dim=-1), bias, has_id

    def penalty(self) -> Tensor:
        """Squared norm of all parameters of single items, features and attributes; a scalar."""
        learned = (self.ids * self.has_id.unsqueeze(-1), self.content, self.start_by_attribute)
        vectors = sum((weights[:, :-1].square().sum() for weights in learned), torch.zeros(()))
        biases = sum((weights[:, -1].square().sum() for weights in learned), torch.zeros(()))
        return vectors + BIAS_PENALTY * biases

    @torch.no_grad()
    def predict(self, support: RatedUsers, query: Events) -> Predictions:
        """Adapt to ``support`` and predict ``query`` of the same users, in batches of a thousand users."""
        scores = [torch.zeros(0)]
        for rows in np.split(np.arange(len(support.users)), range(BATCH, len(support.users), BATCH)):
            batch, batch_query = support.select(rows), pad(query.select(rows))
            z = self(torch.from_numpy(batch.users), pad(batch.events), batch_query)
            scores.append(z[batch_query.mask > 0])
        z = torch.cat(scores)
        return Predictions(self.readout.median(z).double().numpy(), z.double().numpy())


def no_features(n_rows: int) -> ItemFeatures:
    """Rows without features."""
    return ItemFeatures([], np.zeros(n_rows + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def feature_matrix(features: ItemFeatures) -> sp.csr_array:
    """One row per item or user, one column per feature; a single empty column without features."""
    shape = (len(features.indptr) - 1, max(len(features.names), 1))
    return sp.csr_array((features.weights, features.indices, features.indptr), shape=shape)


def _tensor(matrix: sp.csr_array) -> Tensor:
    entries = matrix.tocoo()
    positions = np.stack([entries.row, entries.col]).astype(np.int64)
    return torch.sparse_coo_tensor(positions, entries.data, matrix.shape, check_invariants=True).coalesce()  # type: ignore[arg-type]
