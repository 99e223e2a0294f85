"""Ratings of many users: selected from the events, divided into support and query, padded into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.data.schema import Events

MAX_QUERY = 10


@dataclass(frozen=True)
class RatedUsers:
    """Users and their ratings.

    Attributes:
        users: int64 (n,), codes.
        events: events of these users, in the same order.
    """

    users: NDArray[np.int64]
    events: Events

    def select(self, rows: NDArray[np.int64]) -> RatedUsers:
        """The users at ``rows``."""
        return RatedUsers(self.users[rows], self.events.select(rows))


class Rated(NamedTuple):
    """A batch of users' ratings, padded to the longest.

    Attributes:
        items: int64 (B, S), rows of the items.
        values: float32 (B, S), the ratings; padding repeats an arbitrary one.
        mask: float32 (B, S), 1 for a rating and 0 for padding.
    """

    items: Tensor
    values: Tensor
    mask: Tensor


class Episodes(NamedTuple):
    """Support and query of a batch of users, whose codes are int64 (B,)."""

    users: Tensor
    support: Rated
    query: Rated


def of_items(events: Events, items: NDArray[np.bool_]) -> Events:
    """The events of some items; users stay, even without events.

    Args:
        events: events of any users.
        items: bool (n_items,), the items to keep.
    """
    return _where(events, items[events.items])


def divide(events: Events, n_query: NDArray[np.int64]) -> tuple[Events, Events]:
    """Support and query: each user's last ``n_query`` (n_users,) events are the query."""
    lengths = events.lengths()
    from_last = np.repeat(events.indptr[1:], lengths) - np.arange(len(events.items))
    in_query = from_last <= np.repeat(n_query, lengths)
    support, query = (_where(events, chosen) for chosen in (~in_query, in_query))
    return support, query


def query_lengths(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ratings per user that become the query of an episode: half of them, 10 at most."""
    return np.minimum(lengths // 2, MAX_QUERY)


def pad(events: Events) -> Rated:
    """All users of ``events`` as one batch."""
    lengths = events.lengths()
    position = np.arange(max(int(lengths.max(initial=0)), 1))
    mask = position < lengths[:, None]
    source = np.where(mask, events.indptr[:-1, None] + position, 0)
    return Rated(
        torch.from_numpy(events.items[source].astype(np.int64)),
        torch.from_numpy(events.values[source]),
        torch.from_numpy(mask.astype(np.float32)),
    )


def deal(rated: RatedUsers, rng: np.random.Generator) -> Episodes:
    """One random episode per user: half of the ratings, 10 at most, are the query and the others the support.

    Support and query share one array of items and differ in their masks.
    """
    batch, lengths = pad(rated.events), rated.events.lengths()
    keys = np.where(batch.mask.numpy() > 0, rng.random(tuple(batch.mask.shape)), 2.0)
    rank = keys.argsort(axis=1).argsort(axis=1)
    in_query = torch.from_numpy((rank < query_lengths(lengths)[:, None]).astype(np.float32))
    support, query = (batch._replace(mask=mask) for mask in (batch.mask - in_query, in_query))
    return Episodes(torch.from_numpy(rated.users), support, query)


def _where(events: Events, chosen: NDArray[np.bool_]) -> Events:
    indptr = np.concatenate([[0], np.cumsum(chosen)])[events.indptr].astype(np.int64)
    return events.at(chosen, indptr)
