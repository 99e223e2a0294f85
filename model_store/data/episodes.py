"""Episodes: one user's events dealt into a support and a query."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model_store.data.schema import Events

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Support:
    """The supports of a batch of users, padded at the front so that the most recent event stands last.

    Attributes:
        rows: int64 (B, S), item rows; 0 where ``mask`` is 0.
        values: float32 (B, S), on the data's own scale.
        ages: float32 (B, S), days before the user's most recent support event.
        mask: float32 (B, S), 1 for an event. S ≥ 1 also when all supports are empty.
        attribute_ids: int64 (B, A), what else is known about the users; A ≥ 1.
        attribute_weights: float32 (B, A); 0 is padding.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    ages: NDArray[np.float32]
    mask: NDArray[np.float32]
    attribute_ids: NDArray[np.int64]
    attribute_weights: NDArray[np.float32]


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
        """The episodes ``chosen`` only, increasing places in the batch; supports stay as wide as they were."""
        support = Support(**{name: array[chosen] for name, array in vars(self.support).items()})
        kept = np.isin(self.rest[0], chosen)
        rest = np.stack([np.searchsorted(chosen, self.rest[0][kept]), self.rest[1][kept]])
        weights = None if self.rest_weights is None else self.rest_weights[kept]
        return Episodes(support, rest, self.rest_liked[kept], self.support_liked[chosen], weights)


def pack_support(events: Events, places: list[NDArray[np.int64]], users: NDArray[np.int64] | None = None) -> Support:
    """Supports from the places of their events in ``events``, each from the oldest event to the latest.

    Args:
        events: where the supports stand.
        places: of each support.
        users: int64 (B,), whose supports they are; without them, supports of users of whom nothing else is known.
    """
    width = max(1, *map(len, places)) if places else 1
    shape = (len(places), width)
    rows, mask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    values, ages = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for row, positions in enumerate(places):
        if len(positions):
            times = events.times[positions]
            rows[row, -len(positions) :] = events.items[positions]
            values[row, -len(positions) :] = events.values[positions]
            ages[row, -len(positions) :] = (times.max() - times) / SECONDS_PER_DAY
            mask[row, -len(positions) :] = 1
    return Support(rows, values, ages, mask, *_attributes(events, users, len(places)))


def _attributes(
    events: Events, users: NDArray[np.int64] | None, size: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    if users is None or events.attributes is None:
        return np.zeros((size, 1), dtype=np.int64), np.zeros((size, 1), dtype=np.float32)
    return events.attributes.padded(users)


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
