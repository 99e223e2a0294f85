"""Weights of event types: a purchase with a higher value than a view also weighs more as a like."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.scale import Kind

# A type is common with this share of the events, or with so many: under 1% of a shop's events may be purchases.
COMMON_SHARE, COMMON_EVENTS = 0.01, 50
# A type with a smaller share is ignored, however many events it has.
RARE_SHARE = 0.001
# Share of the user-item pairs that must be likes, so that there is enough to learn from.
LIKED_SHARE = 1 / 3
MIN_WEIGHT = 0.01


def least_common(n_events: int) -> float:
    """Number of events, out of ``n_events``, that make a type common."""
    return max(RARE_SHARE * n_events, min(COMMON_SHARE * n_events, COMMON_EVENTS))


def type_values(events: pl.DataFrame) -> dict[str, float]:
    """Median value of each common event type, in increasing order; "" is the type of events without one.

    Args:
        events: columns ``value`` and ``event``, before user-item pairs are merged.

    Returns:
        Median by type; empty if no event has a type.
    """
    if events["event"].null_count() == len(events):
        return {}
    medians = events.group_by(pl.col("event").fill_null("")).agg(pl.len(), pl.col("value").median())
    common = medians.filter(pl.col("len") >= least_common(len(events))).sort("value", "event")
    return dict(common.select("event", "value").iter_rows())


def differ(kind: Kind, types: dict[str, float]) -> bool:
    """Whether event types have different weights: the values are counts and the types' medians differ."""
    return kind == "counts" and len(set(types.values())) > 1


def liked_value(types: dict[str, float], values: NDArray[np.float64]) -> float | None:
    """Find the highest value of a type that a third of the user-item pairs reach; None if none above 0 is so common.

    Args:
        types: value by type.
        values: float64 (n_pairs,), value of each user-item pair.
    """
    for value in sorted(set(types.values()), reverse=True):
        if value > 0 and np.mean(values >= value) >= LIKED_SHARE:
            return value
    return None


def like_weights(types: dict[str, float], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weight of each user-item pair as a like, float32 (n_pairs,), ``MIN_WEIGHT`` … 1.

    The weight is proportional to the pair's value, up to the value of the most valuable type: no number of views weighs
    more than a purchase.
    """
    highest = max(types.values())
    weights: NDArray[np.float32] = np.clip(values / np.float32(highest), MIN_WEIGHT, 1).astype(np.float32)
    return weights
