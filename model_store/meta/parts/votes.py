"""The sparse memory: neighbours of a user's events vote for items, beside the dense part.

64 numbers cannot hold what item-item co-occurrence knows, most of all on sparse data. With the conditional
memory P(i | e) = n(e, i) / (n(e) + 5) over training users, best M neighbours kept for each item,

    v_i = Σ_{e ∈ support} g(value_e, age_e) · P(i | e)
    addend_i = ω(k) · log(1 + γ(k) · v_i / p_i^τ)

is added to the score of i: a matching network (Vinyals et al. 2016, arXiv:1606.04080) made sparse, in the mixture
form, since votes that enter a softmax linearly lose. g, ω, γ and τ are learned with the inner loop. An item that
nothing votes for gets 0, so the addend stays sparse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.meta.inner import Levels, Share

SHRINKAGE = 5.0
NO_VOTE = 1e-30  # keeps 0 / 0 away


@dataclass(frozen=True)
class Neighbours:
    """Best neighbours of every item.

    Attributes:
        rows: int32 (n_items, M), neighbour rows; unused places hold 0.
        weights: float32 (n_items, M), P(neighbour | item); unused places hold 0.
        own_share: float32 (n_items,), what one user's own co-occurrence adds to each weight, 1 / (n(e) + 5).
    """

    rows: NDArray[np.int32]
    weights: NDArray[np.float32]
    own_share: NDArray[np.float32]


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
    own_share = (1 / (np.asarray(liked.sum(0)).ravel() + SHRINKAGE)).astype(np.float32)
    rows = np.zeros((n_items, count), dtype=np.int32)
    weights = np.zeros((n_items, count), dtype=np.float32)
    for first in range(0, n_items, block):
        together = (by_item[first : first + block] @ liked).tocsr()
        for offset in range(together.shape[0]):
            _keep_best(together, offset, first + offset, rows, weights)
    weights *= own_share[:, None]
    return Neighbours(rows, weights, own_share)


def _keep_best(
    together: sp.csr_array, offset: int, item: int, rows: NDArray[np.int32], weights: NDArray[np.float32]
) -> None:
    run = slice(together.indptr[offset], together.indptr[offset + 1])
    found, counts = together.indices[run], together.data[run].astype(np.float64)
    others = found != item
    found, counts = found[others], counts[others]
    # Distinct keys, exact in float64: among equal counts the lower row wins, so one seed gives one result.
    keys = found / together.shape[1] - counts
    best = np.argpartition(keys, rows.shape[1])[: rows.shape[1]] if len(keys) > rows.shape[1] else np.arange(len(keys))
    best = best[np.argsort(keys[best])]
    rows[item, : len(best)] = found[best]
    weights[item, : len(best)] = counts[best]


class VoteGate(nn.Module):
    """How votes are weighted: the learned numbers g, ω, γ, τ of the memory."""

    log_popularity: Tensor

    def __init__(self, levels: Levels, liked: Tensor, popularity: Tensor, share: Share) -> None:
        """Start with a small say for the memory.

        Args:
            levels: the scale of the feedback values.
            liked: float32 (n_levels,), first vote weight of each level before softplus.
            popularity: float32 (n_items,), p_i: share of the users that liked the item.
            share: how much of the votes counts.
        """
        super().__init__()
        self.share = share
        self.levels = levels
        self.vote_weight = nn.Parameter(liked.clone())
        self.decay = nn.Parameter(torch.zeros(()))
        self.log_scale = nn.Parameter(torch.tensor([-1.0, 0.0, 0.0]))
        self.log_sharpness = nn.Parameter(torch.tensor([0.0, 0.0, 0.0]))
        self.tilt = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("log_popularity", popularity.log())

    def tilts(self) -> Tensor:
        """1 / p_i^τ, (n_items,). Votes for an item are tilted, whether before they are summed or after."""
        return torch.exp(-self.tilt * self.log_popularity)

    def event_votes(self, values: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """g(value_e, age_e) ≥ 0 of every event, 0 where ``mask`` is 0; all (B, 1, S)."""
        fading = torch.exp(-nn.functional.softplus(self.decay - 4) * torch.log1p(ages))
        by_value: Tensor = self.levels(values, nn.functional.softplus(self.vote_weight))
        return by_value * fading * mask

    def addend(self, tilted_votes: Tensor, shots: Tensor) -> Tensor:
        """ω(k) · log(1 + γ(k) · v / p^τ), elementwise on (N, …) with k = ``shots`` (N, 1)."""
        log_k = torch.log1p(shots)
        powers = torch.cat([log_k, log_k * log_k], dim=1)  # (N, 2)
        by_power = torch.stack([self.log_scale, self.log_sharpness], dim=1)  # (3, 2)
        scale, sharpness = torch.split(torch.exp(powers @ by_power[1:] + by_power[0]), 1, dim=1)
        share: Tensor = self.share(log_k.mT).mT
        return share * scale * torch.log1p(sharpness * tilted_votes)

    def dense(self, neighbour_rows: Tensor, neighbour_weights: Tensor, event_votes: Tensor, shots: Tensor) -> Tensor:
        """Addends over the whole catalogue, (B, n_items), from padded (B, S, M) lists and (B, 1, S) event votes."""
        batch = event_votes.shape[0]
        each = (neighbour_weights * event_votes.mT).flatten(1)
        votes = torch.zeros(batch, self.log_popularity.shape[0])
        votes = votes.scatter_add(1, neighbour_rows.flatten(1), each)
        return self.addend(votes * self.tilts(), shots)

    def forward(
        self,
        neighbour_rows: Tensor,
        neighbour_weights: Tensor,
        values: Tensor,
        ages: Tensor,
        users: Tensor,
        shots: Tensor,
    ) -> Tensor:
        """Votes of a batch of B users as sparse addends.

        Args:
            neighbour_rows: int64 (E, M), neighbours of every event of the batch.
            neighbour_weights: float32 (E, M), P(i | e) / p_i^τ: tilted, as a bundle holds them.
            values: float32 (E,), feedback values.
            ages: float32 (E,), days before the user's most recent event.
            users: int64 (E,), whose event it is, 0 … B − 1; any event may stand for a user who has none.
            shots: float32 (B,), events of each user, k.

        Returns:
            What each neighbour gets from each event, float32 (E, M): a row that several events of a user vote for
            gets of each its share, and they sum to the row's addend.
        """
        n_items = self.log_popularity.shape[0]
        # gather becomes GatherElements; index_select a Gather that copies element by element, indexing a GatherND.
        places = (users.unsqueeze(1) * n_items + neighbour_rows).flatten()
        known = shots.index_select(0, users)
        events = (each.unsqueeze(0) for each in (values, ages, known.clamp(max=1)))
        each = neighbour_weights * self.event_votes(*events).mT
        table = torch.zeros(shots.shape[0] * n_items)
        votes = table.scatter_add(0, places, each.flatten()).gather(0, places).view_as(each)
        return self.addend(votes, known.unsqueeze(1)) * each / votes.clamp(min=NO_VOTE)
