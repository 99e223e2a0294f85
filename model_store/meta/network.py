"""What meta-training learns: item vectors, the inner loop, the memory's gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import svds
from torch import Tensor, nn

from model_store.config import TrainingConfig
from model_store.data.episodes import Support
from model_store.data.schema import Dataset, Events, ItemFeatures
from model_store.meta.inner import Adaptation, InnerLoop, Levels, Share
from model_store.meta.items.popularity import log_popularity, recent_likes
from model_store.meta.parts.ease import LinearMemory
from model_store.meta.parts.votes import Neighbours, VoteGate, conditional_neighbours

# dim, steps, anchors, levels, liked, share, n_attributes: as ``InnerLoop`` takes them.
AdaptationType = Callable[[int, int, Tensor, Levels, Tensor, Share, int], Adaptation]

MAX_LEVELS = 10
SVD_SCALE = 4.0


class ItemEncoder(nn.Module):
    """Item vectors: an id part and a content part, so that an item without history still has one.

    Both are learned together. Once they are, ``mapping`` makes the content part stand alone and sets the base.
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

    def vectors(self) -> Tensor:
        """All item vectors, float32 (n_items, dim + 1); the last column is the prior."""
        learned = self.base + self.id_vectors + torch.sparse.mm(self.features, self.content)
        return torch.cat([learned, self.prior], dim=1)

    def by_content(self) -> Tensor:
        """What all items' vectors would be without their history, float32 (n_items, dim + 1)."""
        learned = self.base + torch.sparse.mm(self.features, self.content)
        return torch.cat([learned, self.prior_of_new + torch.sparse.mm(self.features, self.prior_by_feature)], dim=1)

    def forward(self, feature_ids: Tensor, feature_weights: Tensor) -> Tensor:
        """Vector of an item without history from its features (F,), float32 (dim + 1,)."""
        weights = feature_weights.unsqueeze(0)
        learned = self.base + (weights @ self.content[feature_ids]).squeeze(0)
        prior = self.prior_of_new + (weights @ self.prior_by_feature[feature_ids]).squeeze(0)
        return torch.cat([learned, prior])


class Parts(NamedTuple):
    """The summands of a batch's scores, each float32 (B, n_items)."""

    dense: Tensor
    votes: Tensor
    linear: Tensor
    prior: Tensor


class Network(nn.Module):
    """The whole model; ``forward`` scores the catalogue for a batch of users."""

    encoder: ItemEncoder
    inner: Adaptation
    gate: VoteGate
    linear: LinearMemory
    neighbour_rows: Tensor
    neighbour_weights: Tensor
    own_share: Tensor

    def __init__(
        self, encoder: ItemEncoder, inner: Adaptation, gate: VoteGate, neighbours: Neighbours, linear: LinearMemory
    ) -> None:
        super().__init__()
        self.encoder, self.inner, self.gate, self.linear = encoder, inner, gate, linear
        self.register_buffer("neighbour_rows", torch.from_numpy(neighbours.rows).long(), persistent=False)
        self.register_buffer("neighbour_weights", torch.from_numpy(neighbours.weights), persistent=False)
        self.register_buffer("own_share", torch.from_numpy(neighbours.own_share), persistent=False)

    def forward(
        self,
        support: Support,
        *,
        own: Tensor | None = None,
        support_liked: Tensor | None = None,
        dropout: float = 0.0,
    ) -> Tensor:
        """Scores float32 (B, n_items).

        Args:
            support: the events to adapt from.
            own: float32 (B, n_items), ones at what the user liked. Given in training, it takes the user's own
                co-occurrences back out of the memory (leave one out), which otherwise looks better than it is.
            support_liked: bool (B, S), goes with ``own``.
            dropout: share of adapted weights dropped.
        """
        parts = self.parts(support, own=own, support_liked=support_liked, dropout=dropout)
        return parts.dense + parts.votes + parts.linear + parts.prior

    def parts(
        self, support: Support, *, own: Tensor | None = None, support_liked: Tensor | None = None, dropout: float = 0.0
    ) -> Parts:
        """What the scores are made of; arguments as for ``forward``."""
        vectors = self.encoder.vectors()
        rows = torch.from_numpy(support.rows)
        values, ages, mask = map(torch.from_numpy, (support.values, support.ages, support.mask))
        attributes = map(torch.from_numpy, (support.attribute_ids, support.attribute_weights))
        state = self.inner(vectors[rows], values, ages, mask, *attributes)
        lists, weights = self.neighbour_rows[rows], self.neighbour_weights[rows]
        if own is not None and support_liked is not None:
            shares = self.own_share[rows] * support_liked
            among_own = own.gather(1, lists.flatten(1)).view_as(lists)
            weights = (weights - shares.unsqueeze(-1) * among_own).clamp(min=0)
        event_votes = self.gate.event_votes(*(each.unsqueeze(-2) for each in (values, ages, mask)))
        return Parts(
            dense=nn.functional.dropout(state[:, :-1], dropout) @ vectors[:, :-1].T,
            votes=self.gate.dense(lists, weights, event_votes, mask.sum(1, keepdim=True)),
            linear=self.linear.dense(rows, values, mask),
            prior=state[:, -1:] * vectors[:, -1],
        )

    def neighbour_lists(self, items: NDArray[np.int64] | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Rows int64 and weights float32, (n_items, M), as a bundle holds them: all memories side by side.

        The conditional memory's weights are tilted, P(i | e) / p_i^τ; the linear memory's follow as they are.
        ``items`` are the rows wanted; the whole of a large catalogue is gigabytes.
        """
        rows = self.neighbour_rows[items]
        tilted = self.neighbour_weights[items] * self.gate.tilts()[rows]
        return (
            torch.cat([rows, self.linear.rows[items]], dim=1),
            torch.cat([tilted, self.linear.weights[items]], dim=1),
        )


@dataclass(frozen=True)
class Statistics:
    """What is counted rather than learned, over the training users.

    Attributes:
        liked: (n_users, n_items), ones at what a user liked.
        counts: float64 (n_items,), users that liked the item.
    """

    liked: sp.csr_array
    counts: NDArray[np.float64]


def count(events: Events, n_items: int, liked_at_least: float) -> Statistics:
    """Count what the training users liked."""
    liked = events.values >= liked_at_least
    users = np.repeat(np.arange(events.n_users), events.lengths())
    ones = np.ones(int(liked.sum()), dtype=np.float32)
    matrix = sp.csr_array((ones, (users[liked], events.items[liked])), shape=(events.n_users, n_items))
    return Statistics(matrix, np.asarray(matrix.sum(0), dtype=np.float64).ravel())


def build(
    dataset: Dataset,
    training: Events,
    config: TrainingConfig,
    shots: tuple[int, ...],
    adaptation: AdaptationType = InnerLoop,
) -> Network:
    """A network at its starting point: SVD of what was liked, neutral steps, a small say for the memory.

    Args:
        dataset: for the catalogue, its features and the scale of values.
        training: events of the training users only.
        config: sizes and seed.
        shots: the k at which the parts' shares will be chosen.
        adaptation: makes the adaptation; called like ``InnerLoop``.
    """
    statistics = count(training, dataset.n_items, dataset.feedback.liked_at_least)
    generator = torch.Generator().manual_seed(config.seed)
    id_vectors = _svd_start(statistics, config, generator)
    likes = recent_likes(training, dataset.n_items, dataset.feedback.liked_at_least, config.half_life)
    prior, prior_of_new = log_popularity(likes)
    encoder = ItemEncoder(id_vectors, _feature_matrix(dataset.features, use=config.content), prior, prior_of_new)
    levels, weight_at = _levels(training, dataset.feedback.liked_at_least)
    popular = torch.from_numpy(np.argsort(-statistics.counts, kind="stable")[: config.anchors].copy())
    inner = adaptation(
        config.dim,
        config.inner_steps,
        id_vectors[popular],
        levels,
        weight_at,
        Share(shots),
        len(dataset.attribute_names),
    )
    popularity = torch.from_numpy((statistics.counts + 1) / (training.n_users + 1)).float()
    vote_weight = 2 * weight_at - 1 if training.weights is None else _before_softplus(weight_at)
    gate = VoteGate(levels, vote_weight, popularity, Share(shots))
    linear = LinearMemory(dataset.n_items, dataset.feedback.liked_at_least, Share(shots))
    return Network(encoder, inner, gate, conditional_neighbours(statistics.liked, config.neighbours), linear)


def _svd_start(statistics: Statistics, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Right singular vectors of the centred liked matrix, scaled; noise where the data has fewer dimensions.

    Where every item is liked by all users or by nobody, the centred matrix is zero, and all is noise.
    """
    liked = statistics.liked
    n_users, n_items = liked.shape
    varies = bool(((statistics.counts > 0) & (statistics.counts < n_users)).any())
    rank = min(config.dim, min(n_users, n_items) - 1)
    mean = (statistics.counts / n_users).astype(np.float32)
    centred = sp.linalg.LinearOperator(
        shape=liked.shape,
        dtype=np.float32,
        matvec=lambda v: liked @ v.ravel() - mean @ v.ravel(),
        rmatvec=lambda u: liked.T @ u.ravel() - mean * u.sum(),
    )
    start = 0.01 * torch.randn(n_items, config.dim, generator=generator)
    if rank > 0 and varies:
        first = np.random.default_rng(config.seed).standard_normal(min(n_users, n_items)).astype(np.float32)
        _, singular, right = svds(centred, k=rank, v0=first)
        scaled = right.T * np.sqrt(singular / singular.max())
        start[:, :rank] = SVD_SCALE * torch.from_numpy(scaled[:, ::-1].copy()).float()
    return start


def _feature_matrix(features: ItemFeatures, *, use: bool) -> Tensor:
    """Sparse float32 (n_items, n_features); one empty column where there are no features to use."""
    n_items = len(features.indptr) - 1
    if not (use and features.names):
        rows, indices, weights, width = (
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            np.zeros(0, np.float32),
            1,
        )
    else:
        rows = np.repeat(np.arange(n_items), np.diff(features.indptr))
        indices, weights, width = features.indices, features.weights, len(features.names)
    places = torch.from_numpy(np.stack([rows, indices]))
    shape = (n_items, width)
    return torch.sparse_coo_tensor(places, torch.from_numpy(weights), shape, check_invariants=True).coalesce()


def _levels(events: Events, liked_at_least: float) -> tuple[Levels, Tensor]:
    """Knots over the scale of values, and a first weight for each.

    The weight is 1 where an event is liked, falling below. Where types of event differ in value it is the event's own.
    """
    values = events.values
    distinct = np.unique(values)
    if len(distinct) > MAX_LEVELS:
        distinct = np.unique(np.quantile(values, np.linspace(0, 1, MAX_LEVELS)))
    if len(distinct) == 1:
        # In float32 a billion and one is a billion.
        distinct = np.array([distinct[0], distinct[0] + max(1.0, 1e-6 * abs(float(distinct[0])))])
    spread = max(float(distinct[-1] - distinct[0]), 1e-6)
    weight = np.where(distinct >= liked_at_least, 1.0, 0.3 - (liked_at_least - distinct) / spread)
    if events.weights is not None:
        by_value, places = np.unique(values, return_index=True)
        weight = np.interp(distinct, by_value, events.weights[places])
    return Levels(torch.from_numpy(distinct).float()), torch.from_numpy(weight).float()


def _before_softplus(weight: Tensor) -> Tensor:
    """Inverse of softplus, at votes in proportion to ``weight`` > 0; a weight of 1 votes like a liked rating."""
    return torch.log(torch.expm1(nn.functional.softplus(torch.ones(())) * weight))
