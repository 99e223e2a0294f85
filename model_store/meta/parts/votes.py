"""The votes: neighbours of a user's events vote for items, beside the dense part.

64 numbers cannot hold all that item-item co-occurrence knows, most of all on sparse data. With the conditional
probabilities P(i | e) = n(e, i) / (n(e) + 5) over training users, best M neighbours kept per item,

    v_i = Σ_{e ∈ support} g(value_e, age_e) · P(i | e)
    addend_i = ω(k) · log(1 + γ(k) · v_i / p_i^τ)

is added to the score of i: a matching network (Vinyals et al. 2016, arXiv:1606.04080) made sparse, in the mixture
form, since votes that enter a softmax linearly lose. g, ω, γ and τ are learned with the inner loop. An item without
votes gets 0, so the addend stays sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.meta.inner import Levels
from model_store.meta.parts.part import Ingredients, LeaveOut, ListPart, NeighbourLists, ScoringBatch, VotingEvents

SHRINKAGE = 5.0
NO_VOTE = 1e-30  # avoids 0 / 0


@dataclass(frozen=True)
class Neighbours:
    """Best neighbours of every item.

    Attributes:
        rows: int32 (n_items, M), neighbour rows; unused positions hold 0.
        weights: float32 (n_items, M), P(neighbour | item); unused positions hold 0.
        user_share: float32 (n_items,), the share of one user's co-occurrence in each weight, 1 / (n(e) + 5).
    """

    rows: NDArray[np.int32]
    weights: NDArray[np.float32]
    user_share: NDArray[np.float32]


def conditional_neighbours(liked: sp.csr_array, count: int, *, block: int = 1024) -> Neighbours:
    """The ``count`` neighbours with the largest P(i | e), item by item in blocks.

    Args:
        liked: (n_users, n_items) with ones where a user liked an item.
        count: neighbours to keep, M.
        block: items computed at once; bounds the memory.
    """
    n_items = liked.shape[1]
    count = min(count, n_items)
    by_item = liked.T.tocsr()
    user_share = (1 / (np.asarray(liked.sum(0)).ravel() + SHRINKAGE)).astype(np.float32)
    rows = np.zeros((n_items, count), dtype=np.int32)
    weights = np.zeros((n_items, count), dtype=np.float32)
    for first in range(0, n_items if liked.nnz else 0, block):
        co_likes = (by_item[first : first + block] @ liked).tocsr()
        for offset in range(co_likes.shape[0]):
            _keep_best(co_likes, offset, first + offset, rows, weights)
    weights *= user_share[:, None]
    return Neighbours(rows, weights, user_share)


def _keep_best(
    co_likes: sp.csr_array, offset: int, item: int, rows: NDArray[np.int32], weights: NDArray[np.float32]
) -> None:
    run = slice(co_likes.indptr[offset], co_likes.indptr[offset + 1])
    neighbours, counts = co_likes.indices[run], co_likes.data[run].astype(np.float64)
    distinct = neighbours != item
    neighbours, counts = neighbours[distinct], counts[distinct]
    # Distinct keys, exact in float64: among equal counts the lower row wins, so one seed gives one result.
    keys = neighbours / co_likes.shape[1] - counts
    best = np.argpartition(keys, rows.shape[1])[: rows.shape[1]] if len(keys) > rows.shape[1] else np.arange(len(keys))
    best = best[np.argsort(keys[best])]
    rows[item, : len(best)] = neighbours[best]
    weights[item, : len(best)] = counts[best]


class Votes(ListPart):
    """Conditional neighbours, and the learned numbers g, ω, γ, τ that weight their votes."""

    name: ClassVar[str] = "votes"
    title: ClassVar[str] = "votes"
    weights: ClassVar[tuple[float, ...]] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)

    log_popularity: Tensor
    user_share: Tensor

    def __init__(
        self, neighbours: Neighbours, levels: Levels, vote_weight: Tensor, popularity: Tensor, shots: tuple[int, ...]
    ) -> None:
        """Start with a small scale for the votes.

        Args:
            neighbours: of the training users.
            levels: the scale of the feedback values.
            vote_weight: float32 (n_levels,), first vote weight of each level before softplus.
            popularity: float32 (n_items,), p_i: share of the users that liked the item.
            shots: the k at which the weight will be chosen.
        """
        lists = NeighbourLists(torch.from_numpy(neighbours.rows).long(), torch.from_numpy(neighbours.weights))
        super().__init__(shots, lists)
        self.levels = levels
        self.vote_weight = nn.Parameter(vote_weight.clone())
        self.decay = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.tensor([-1.0, 0.0, 0.0]))
        self.log_sharpness = nn.Parameter(torch.tensor([0.0, 0.0, 0.0]))
        self.tilt = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("log_popularity", popularity.log())
        self.register_buffer("user_share", torch.from_numpy(neighbours.user_share), persistent=False)

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """Neighbours counted over the training users; the weights of votes follow those of events."""
        statistics, event_weight = ingredients.statistics, ingredients.event_weight
        neighbours = conditional_neighbours(statistics.liked, ingredients.config.neighbours)
        popularity = torch.from_numpy((statistics.counts + 1) / (statistics.liked.shape[0] + 1)).float()
        vote_weight = _before_softplus(event_weight) if ingredients.weighted_likes else 2 * event_weight - 1
        return cls(neighbours, ingredients.levels, vote_weight, popularity, ingredients.shots)

    def exported_lists(self, items: NDArray[np.int64] | slice) -> NeighbourLists:
        """The lists of some items with tilted weights P(i | e) / p_i^τ."""
        rows = self.rows[items]
        return NeighbourLists(rows, self.list_weights[items] * self.tilts()[rows])

    def tilts(self) -> Tensor:
        """1 / p_i^τ, (n_items,). Votes for an item are tilted, whether before they are summed or after."""
        return torch.exp(-self.tilt * self.log_popularity)

    def event_votes(self, values: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """g(value_e, age_e) ≥ 0 of every event, 0 where ``mask`` is 0; all (B, 1, S)."""
        fading = torch.exp(-nn.functional.softplus(self.decay - 4) * torch.log1p(ages))
        by_value: Tensor = self.levels(values, nn.functional.softplus(self.vote_weight))
        return by_value * fading * mask

    def addend(self, tilted_votes: Tensor, shots: Tensor) -> Tensor:
        """weight(k) · ω(k) · log(1 + γ(k) · v / p^τ), elementwise on (N, …) with k = ``shots`` (N, 1)."""
        log_k = torch.log1p(shots)
        powers = torch.cat([log_k, log_k * log_k], dim=1)  # (N, 2)
        by_power = torch.stack([self.log_scale, self.log_sharpness], dim=1)  # (3, 2)
        scale, sharpness = torch.split(torch.exp(powers @ by_power[1:] + by_power[0]), 1, dim=1)
        weight: Tensor = self.weight(log_k.mT).mT
        return weight * scale * torch.log1p(sharpness * tilted_votes)

    def scores(self, batch: ScoringBatch) -> Tensor:
        """Addends over the whole catalogue; in training without each user's own co-occurrences."""
        events, mask = batch.supports.events, batch.supports.mask
        lists, weights = self.rows[batch.rows], self.list_weights[batch.rows]
        if batch.leave_out is not None:
            weights = self._without_user(batch.rows, lists, weights, batch.leave_out)
        event_votes = self.event_votes(*(column.unsqueeze(-2) for column in (events.values, events.ages, mask)))
        return self.dense(lists, weights, event_votes, mask.sum(1, keepdim=True))

    def _without_user(self, events: Tensor, lists: Tensor, weights: Tensor, leave_out: LeaveOut) -> Tensor:
        """The lists' weights, (B, S, M), as they were if the user had not been counted."""
        shares = self.user_share[events] * leave_out.support_liked
        liked = leave_out.liked.gather(1, lists.flatten(1)).view_as(lists)
        return (weights - shares.unsqueeze(-1) * liked).clamp(min=0)

    def dense(self, lists: Tensor, weights: Tensor, event_votes: Tensor, shots: Tensor) -> Tensor:
        """Addends over the whole catalogue, (B, n_items), from padded (B, S, M) lists and (B, 1, S) event votes."""
        batch = event_votes.shape[0]
        by_position = (weights * event_votes.mT).flatten(1)
        votes = torch.zeros(batch, self.n_items)
        votes = votes.scatter_add(1, lists.flatten(1), by_position)
        return self.addend(votes * self.tilts(), shots)

    def addends(self, lists: NeighbourLists, events: VotingEvents) -> Tensor:
        """The share of each event in each listed item's addend, in proportion to its votes, float32 (E, M)."""
        # gather becomes GatherElements; index_select a Gather that copies element by element, indexing a GatherND.
        cells = (events.users.unsqueeze(1) * self.n_items + lists.rows).flatten()
        shots = events.shots_of_user()
        columns = (column.unsqueeze(0) for column in (events.values, events.ages, shots.clamp(max=1)))
        by_position = lists.weights * self.event_votes(*columns).mT
        table = torch.zeros(events.shots.shape[0] * self.n_items)
        votes = table.scatter_add(0, cells, by_position.flatten()).gather(0, cells).view_as(by_position)
        return self.addend(votes, shots.unsqueeze(1)) * by_position / votes.clamp(min=NO_VOTE)


def _before_softplus(weight: Tensor) -> Tensor:
    """Inverse of softplus, at votes in proportion to ``weight`` > 0; a weight of 1 votes like a liked rating."""
    return torch.log(torch.expm1(nn.functional.softplus(torch.ones(())) * weight))
