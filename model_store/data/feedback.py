"""What the values of a source mean: a rating scale or counts, and from where on an item was liked."""

from __future__ import annotations

import numpy as np
import polars as pl

from model_store.bundle.manifest import FeedbackSpec
from model_store.bundle.scale import Kind

SCALE_LEVELS = range(3, 21)
SCALE_MAX = 10.0
LIKED_SHARE_OF_SCALE = 0.8
MAX_EVENT_TYPES = 20
MAX_EVENT_TYPE_CHARACTERS = 64


def kind_of(events: pl.DataFrame) -> Kind:
    """Judge whether the values are ratings; whatever is not, is counts.

    Ratings have 3 to 20 levels within 0 … 10 and one type of event at most, and their frequencies do not
    fall from the lowest level: where the lowest level is the most common and the next lowest comes second,
    the values are counts with their long tail.

    Args:
        events: columns ``value`` and ``event``, before user-item pairs are merged.
    """
    levels = events.group_by("value").len().sort("value")
    lowest, highest = levels["value"][0], levels["value"][-1]
    on_a_scale = len(levels) in SCALE_LEVELS and lowest >= 0 and highest <= SCALE_MAX
    by_frequency = np.argsort(-levels["len"].to_numpy().astype(np.int64), kind="stable")
    falls_from_the_lowest = by_frequency[:2].tolist() == [0, 1]
    one_type = events["event"].drop_nulls().n_unique() <= 1
    return "ratings" if on_a_scale and one_type and not falls_from_the_lowest else "counts"


def feedback_spec(kind: Kind, events: pl.DataFrame, values: pl.Series) -> FeedbackSpec:
    """Scale, threshold and vocabulary.

    Ratings are liked from the first level at 4/5 of the highest one on (4 of 5, 8 of 10); counts from the
    lowest one above 0, of which there must be one.

    Args:
        kind: what the values are.
        events: columns ``value`` and ``event``, before user-item pairs are merged.
        values: the value of each user-item pair.
    """
    levels = values.unique().sort().to_numpy()
    threshold = LIKED_SHARE_OF_SCALE * levels[-1] if kind == "ratings" else np.nextafter(0, 1)
    liked = float(levels[np.searchsorted(levels, threshold)])
    lowest, highest = float(levels[0]), float(levels[-1])
    if kind == "ratings":
        types = {"like": highest, "purchase": highest, "click": liked, "dislike": lowest}
    else:
        types = _event_types(events, liked, lowest, highest)
    return FeedbackSpec(kind=kind, value_min=lowest, value_max=highest, liked_at_least=liked, types=types)


def _event_types(events: pl.DataFrame, liked: float, lowest: float, highest: float) -> dict[str, float]:
    """The usual types at the value of a typical event; the source's own most common ones at their medians."""
    typical = float(np.clip(np.median(events["value"].to_numpy()), liked, highest))
    own = (
        events.filter(
            pl.col("event").str.len_chars().is_between(1, MAX_EVENT_TYPE_CHARACTERS)
            & ~pl.col("event").str.contains(r"\p{Cc}")
        )
        .group_by("event")
        .agg(pl.len(), pl.col("value").median().clip(lowest, highest))
        .sort("len", "event", descending=[True, False])
        .head(MAX_EVENT_TYPES)
    )
    return dict.fromkeys(("view", "click", "like", "purchase"), typical) | dict(
        own.select("event", "value").iter_rows()
    )
