"""Worth of the types of event: where a purchase has a higher value than a view, it counts for more as a like."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.scale import Kind

# A type is common with this share of the events, or with so many of them: few shops sell to one visitor in a hundred.
COMMON_SHARE, COMMON_EVENTS = 0.01, 50
# Below this share a type says nothing about the others, however many events it has.
RARE_SHARE = 0.001
# Likes must be so common among the user-item pairs that there is enough to learn from.
LIKED_SHARE = 1 / 3
MIN_WEIGHT = 0.01


def least_common(n_events: int) -> float:
    """Number of events that a type needs to say something about the others, out of ``n_events``."""
    return max(RARE_SHARE * n_events, min(COMMON_SHARE * n_events, COMMON_EVENTS))


def type_values(events: pl.DataFrame) -> dict[str, float]:
    """Median value of every common type of event, the lowest first; events without a type are of type "" beside others.

    Args:
        events: columns ``value`` and ``event``, before user-item pairs are merged.
    """
    if events["event"].null_count() == len(events):
        return {}
    medians = events.group_by(pl.col("event").fill_null("")).agg(pl.len(), pl.col("value").median())
    common = medians.filter(pl.col("len") >= least_common(len(events))).sort("value", "event")
    return dict(common.select("event", "value").iter_rows())


def differ(kind: Kind, types: dict[str, float]) -> bool:
    """Whether the types of event say how much an event counts: values of counts that are not all alike."""
    return kind == "counts" and len(set(types.values())) > 1


def liked_value(types: dict[str, float], values: NDArray[np.float64]) -> float | None:
    """The highest value of a type that a third of the user-item pairs reach; None if none above 0 is so common.

    Args:
        types: value of each type.
        values: float64 (n_pairs,), value of each user-item pair.
    """
    for value in sorted(set(types.values()), reverse=True):
        if value > 0 and np.mean(values >= value) >= LIKED_SHARE:
            return value
    return None


def like_weights(types: dict[str, float], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each user-item pair counts as a like, float32 (n_pairs,), ``MIN_WEIGHT`` … 1.

    The weight grows with the pair's value up to that of the most valuable type, so that no number of views is worth
    more than a purchase.
    """
    highest = max(types.values())
    weights: NDArray[np.float32] = np.clip(values / np.float32(highest), MIN_WEIGHT, 1).astype(np.float32)
    return weights
