"""Episodes: one user's events dealt into a support and a query."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import NO_ATTRIBUTES, Encoded, Support, UserSupport
from model_store.data.schema import Events


@dataclass(frozen=True)
class Episodes:
    """A batch of episodes: supports, and the (episode, item) pairs of everything else the users did.

    Attributes:
        support: the events to adapt from.
        rest: int64 (2, n_rest), episode and item row of the events outside the support.
        rest_liked: bool (n_rest,), which of them are the query: what the user liked.
        support_liked: bool (B, S), which support events were liked.
        rest_weights: float32 (n_rest,), how much each counts as a like; None where all count alike.
    """

    support: Support
    rest: NDArray[np.int64]
    rest_liked: NDArray[np.bool_]
    support_liked: NDArray[np.bool_]
    rest_weights: NDArray[np.float32] | None = None

    def select(self, chosen: NDArray[np.int64]) -> Episodes:
        """The episodes ``chosen`` only, increasing indices into the batch; the width of the supports stays."""
        kept = np.isin(self.rest[0], chosen)
        rest = np.stack([np.searchsorted(chosen, self.rest[0][kept]), self.rest[1][kept]])
        weights = None if self.rest_weights is None else self.rest_weights[kept]
        return Episodes(self.support.select(chosen), rest, self.rest_liked[kept], self.support_liked[chosen], weights)


def pack_support(
    events: Events,
    positions: list[NDArray[np.int64]],
    users: NDArray[np.int64] | None = None,
    limit: int | None = None,
) -> Support:
    """Supports of a batch of users from the positions of their events in ``events``.

    Args:
        events: events of the data.
        positions: of the events of each support.
        users: int64 (B,), codes of the users, whose attributes the supports have; None leaves attributes out.
        limit: number of events to keep per user, the most recent ones; None keeps all.
    """
    attributes = [NO_ATTRIBUTES] * len(positions)
    if users is not None and events.attributes is not None:
        attributes = list(map(Encoded, *events.attributes.padded(users)))
    return Support.of(
        [
            UserSupport.encode(
                events.items[run].astype(np.int64), events.values[run], events.times[run], limit, encoded
            )
            for run, encoded in zip(positions, attributes, strict=True)
        ]
    )


def deal(
    events: Events,
    users: NDArray[np.int64],
    liked_at_least: float,
    max_shots: int,
    rng: np.random.Generator,
    *,
    chronological: bool = False,
) -> Episodes:
    """Deal one episode for each of ``users``: k is drawn log-uniformly from 0 … ``max_shots``, the rest is query.

    At least one event of every user stays outside the support. The support is any k events; or, ``chronological``, the
    first k: what users come to like after their first events, as where the catalogue itself moves on, is then learned,
    at the price of fewer different episodes.
    """
    places, rest = [], []
    draws = np.exp(rng.random(len(users)) * np.log(max_shots + 2)) - 1
    for user, draw in zip(users, draws, strict=True):
        run = events.user(int(user))
        order = np.arange(run.start, run.stop)
        if not chronological:
            order = rng.permutation(order)
        shots = min(int(draw), max_shots, len(order) - 1)
        places.append(np.sort(order[:shots]))
        rest.append(order[shots:])
    support = pack_support(events, places, users)
    rest_places = np.concatenate(rest)
    episode = np.repeat(np.arange(len(users)), list(map(len, rest)))
    return Episodes(
        support=support,
        rest=np.stack([episode, events.items[rest_places].astype(np.int64)]),
        rest_liked=events.values[rest_places] >= liked_at_least,
        support_liked=(support.values >= liked_at_least) & (support.mask > 0),
        rest_weights=None if events.weights is None else events.weights[rest_places],
    )


def hide_attributes(episodes: Episodes, share: float, rng: np.random.Generator) -> Episodes:
    """The same episodes, but of a ``share`` of their users nothing is known but the events.

    Without it the start would be learned for users with attributes only, and those without would start from what is
    left over.
    """
    support = episodes.support
    if not support.attribute_weights.any():
        return episodes
    shown = rng.random((len(support.rows), 1)) >= share
    weights = np.where(shown, support.attribute_weights, np.float32(0))
    return replace(episodes, support=replace(support, attribute_weights=weights))
