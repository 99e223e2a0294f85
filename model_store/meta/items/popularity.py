"""The popularity prior: how likely a user without events is to like each item.

In ordered events, popularity depends on the position: most users begin with other items than they go on with. So an
item's likes may count less, the further back they are in their user's events,

    n_i = Σ_u Σ_{i liked by u} ω · 2^{−b / h},   b = events of u after it, h = half-life in events,

scaled to the total number of likes, so that the prior of an item without likes does not depend on h. If event types
differ in value, ω is the weight of the event, else 1. Age is counted in events and not in days: a user who came a year
ago was new then, just as the users to be served are new now.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from model_store.data.schema import Events

NO_LIKE = 1e-30  # avoids 0 / 0


def recent_likes(events: Events, n_items: int, liked_at_least: float, half_life: float | None) -> NDArray[np.float64]:
    """Likes of every item, float64 (n_items,); with a half-life, the later ones of each user count more.

    Args:
        events: of the training users, each user's in order.
        n_items: rows of the catalogue.
        liked_at_least: value from which on an event is liked.
        half_life: events of the user after which a like counts half; None counts all alike.
    """
    liked = events.values >= liked_at_least
    items = events.items[liked]
    if half_life is None and events.weights is None:
        return np.bincount(items, minlength=n_items).astype(np.float64)
    weights = np.ones(len(items)) if events.weights is None else events.weights[liked].astype(np.float64)
    if half_life is not None:
        ends = np.repeat(events.indptr[1:], events.lengths())
        later = (ends - 1 - np.arange(len(events.items)))[liked]
        weights *= 0.5 ** (later / half_life)
    counts = np.bincount(items, weights=weights, minlength=n_items)
    return np.asarray(counts * (len(items) / max(float(counts.sum()), NO_LIKE)))


def log_popularity(counts: NDArray[np.float64]) -> tuple[Tensor, float]:
    """Centred log((n_i + 1) / Σ) by item, float32 (n_items,), and the same for an item without events."""
    prior = np.log((counts + 1) / counts.sum())
    return from_numpy(prior - prior.mean()).float(), float(-np.log(counts.sum()) - prior.mean())
