"""Meaning of a source's values: their kind, the scale they are on, and from where on an item was liked."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.manifest import FeedbackSpec
from model_store.bundle.scale import Kind
from model_store.config import ReadOptions
from model_store.content.bins import figure
from model_store.data.distribution import LARGEST_VALUE, Distribution, Trimmed, plausible, rating_scale
from model_store.data.event_types import differ, least_common, liked_value, type_values
from model_store.data.kinds import Verdict, falls, judge
from model_store.data.summary import Note
from model_store.errors import DataError

LIKED_SHARE_OF_SCALE = 0.8
# Up to so many levels, "liked" starts at one of them; decimals have no levels to speak of.
MAX_LEVELS = 21
MAX_EVENT_TYPES = 20
MAX_EVENT_TYPE_CHARACTERS = 64
# Events of a type that may differ from its usual value.
STRAY_SHARE = 0.01
# Share of repeated pairs from which events are taken to be counted rather than set.
REPEATED_SHARE = 0.01
OFTEN_REPEATED_SHARE = 0.05
UNUSUALLY_FEW, UNUSUALLY_MANY = 0.05, 0.95


class Feedback(NamedTuple):
    """The events that carry feedback, and what their values mean.

    Attributes:
        events: the events whose values belong to the scale.
        kind: kind of the values.
        reason: why, as a clause.
        notes: values that were left out.
        warnings: sentences on what is not certain.
    """

    events: pl.DataFrame
    kind: Kind
    reason: str
    notes: tuple[Note, ...]
    warnings: tuple[str, ...]


def read_feedback(name: str, events: pl.DataFrame, options: ReadOptions) -> Feedback:
    """Decide what the values are, unless ``options`` says it, and drop those that are none of it.

    Args:
        name: the table, for messages.
        events: columns ``user_id``, ``item_id``, ``value`` and ``event``; at least one row.
        options: ``feedback`` sets the kind.

    Raises:
        DataError: no value can be used, or ratings and other types of event are mixed and the kind is not set.
    """
    used = plausible(Distribution.of(events["value"]))
    if not len(used.kept.levels):
        raise DataError(
            f"{name}: column 'value' has no number within ±{LARGEST_VALUE:g}, expected ratings, counts or 1; "
            "correct the values"
        )
    inside = _within(events, used.kept)
    if options.feedback is None:
        verdict = _decide(name, inside, used.kept)
    else:
        verdict = Verdict(options.feedback, "set by --feedback")
    scale = rating_scale(used.kept) if verdict.kind == "ratings" else Trimmed(used.kept, ())
    kept = _within(inside, scale.kept)
    if verdict.kind == "clicks" and len(scale.kept.levels) > 1:
        kept = kept.with_columns((pl.col("value") > 0).cast(pl.Float64).alias("value"))
    notes = (*used.excluded, *scale.excluded, *_below_zero(verdict.kind, scale.kept))
    return Feedback(kept, verdict.kind, verdict.reason, notes, _doubts(verdict))


def _below_zero(kind: Kind, values: Distribution) -> tuple[Note, ...]:
    """A note on negative counts, such as returned goods."""
    negative = values.between(-np.inf, np.nextafter(0, -1))
    return (
        (Note(negative.total, "events have a value below 0: it is subtracted"),)
        if kind == "counts" and negative.total
        else ()
    )


def _within(events: pl.DataFrame, values: Distribution) -> pl.DataFrame:
    return events.filter(pl.col("value").is_between(values.low, values.high))


def _doubts(verdict: Verdict) -> tuple[str, ...]:
    """A warning where the evidence is weak."""
    if not verdict.doubt:
        return ()
    kind, other = verdict.kind, "counts" if verdict.kind == "ratings" else "ratings"
    way_out = f"set --feedback {kind} or --feedback {other}"
    return (f"values are taken for {kind}, but {verdict.doubt}, so they may be {other}; {way_out}",)


def _decide(name: str, events: pl.DataFrame, values: Distribution) -> Verdict:
    """The kind by types of event, by the distribution of the values, and by how often pairs repeat."""
    if len(values.levels) == 1:
        return _of_one(events, values)
    by_type = _judge_types(name, events)
    if by_type is not None:
        return by_type
    scale = rating_scale(values).kept
    verdict = judge(scale) if len(scale.levels) > 1 else judge(values)
    if verdict.doubt and scale.low > 0 and (share := _repeated(events)) >= OFTEN_REPEATED_SHARE:
        return Verdict("counts", f"{share:.0%} of the events repeat a user-item pair")
    if verdict.kind == "ratings" and not verdict.doubt and scale.high < values.high and falls(scale):
        return verdict._replace(doubt=f"the lowest are the most common, and some lie above {figure(scale.high)}")
    return verdict


def _of_one(events: pl.DataFrame, values: Distribution) -> Verdict:
    share = _repeated(events)
    if share >= REPEATED_SHARE:
        return Verdict("counts", f"all are {figure(values.low)}, and {share:.0%} of the events repeat a user-item pair")
    return Verdict("clicks", f"all are {figure(values.low)}")


def _repeated(events: pl.DataFrame) -> float:
    """Share of the events that repeat a user-item pair, 0 … 1."""
    return 1 - events.select("user_id", "item_id").n_unique() / len(events)


def _judge_types(name: str, events: pl.DataFrame) -> Verdict | None:
    """Values that are weights of the types of event are counts; None where types say nothing.

    Raises:
        DataError: some types have ratings and others one value each.
    """
    types = {} if events["event"].n_unique() == 1 else _values_by_type(events)
    if len(types) < 2:  # noqa: PLR2004 - one type says nothing about another
        return None
    usual = {event: values for event, values in types.items() if values.counts.max() < (1 - STRAY_SHARE) * values.total}
    constant = {event: _mode(values) for event, values in types.items() if event not in usual}
    if not constant:
        return None
    weights = ", ".join(f"{event or 'no type'} {figure(value)}" for event, value in list(constant.items())[:3])
    if not usual:
        one = len(set(constant.values())) == 1
        return None if one else Verdict("counts", f"every type of event has a value of its own: {weights}")
    event, values = next(iter(usual.items()))
    verdict = judge(rating_scale(values).kept)
    if verdict.kind == "ratings" and not verdict.doubt:
        raise DataError(
            f"{name}: column 'event' mixes ratings ({event or 'no type'} {values}) with events of one value "
            f"({weights}); keep one sort of them, or set --feedback counts, which adds values, or --feedback ratings"
        )
    return Verdict("counts", f"some types of event have a value of their own: {weights}")


def _values_by_type(events: pl.DataFrame) -> dict[str, Distribution]:
    """Values of the types of event that are not rare, the most common type first; nulls are a type, ""."""
    named = events.select(pl.col("event").fill_null(""), "value")
    types = named.group_by("event").len("events").filter(pl.col("events") >= least_common(len(events)))
    names = types.sort("events", "event", descending=[True, False])["event"].to_list()
    return {name: Distribution.of(named.filter(pl.col("event") == name)["value"]) for name in names}


def _mode(values: Distribution) -> float:
    return float(values.levels[values.counts.argmax()])


def feedback_spec(kind: Kind, events: pl.DataFrame, values: pl.Series, liked_from: float | None = None) -> FeedbackSpec:
    """Scale, threshold and vocabulary.

    Ratings are liked from the first level at 4/5 of the highest one on (4 of 5, 8 of 10), or, on a scale that starts
    below 0, from 4/5 of the way up (6 of -10 … 10); counts and clicks from the lowest value above 0, of which there
    must be one. Where types of event differ in value, a pair is liked from the most valuable type that is common.

    Args:
        kind: kind of the values.
        events: columns ``value`` and ``event``, before user-item pairs are merged.
        values: the value of each user-item pair.
        liked_from: replaces the threshold.

    Raises:
        DataError: ``liked_from`` lies outside of the scale.
    """
    levels = values.unique().sort().to_numpy()
    # Counts add up, so a single event may lie below all pairs.
    lowest = min(float(levels[0]), float(events["value"].to_numpy().min()))
    highest = float(levels[-1])
    if liked_from is not None and not lowest <= liked_from <= highest:
        raise DataError(
            f"--liked-from {liked_from:g}: the {kind} run from {figure(lowest)} to {figure(highest)}, "
            "expected a value out of these"
        )
    liked = liked_from
    if liked is None and differ(kind, own_types := type_values(events)):
        liked = liked_value(own_types, values.to_numpy())
    if liked is None:
        liked = _threshold(kind, levels)
    if kind == "ratings":
        types = {"like": highest, "purchase": highest, "click": liked, "dislike": lowest}
    else:
        types = _event_types(events, liked, lowest, highest)
    return FeedbackSpec(kind=kind, value_min=lowest, value_max=highest, liked_at_least=liked, types=types)


def _threshold(kind: Kind, levels: NDArray[np.float64]) -> float:
    """The value from which an item was liked, one of ``levels`` where these are few."""
    if kind != "ratings":
        return float(levels[np.searchsorted(levels, np.nextafter(0, 1))])
    low, high = float(levels[0]), float(levels[-1])
    start = min(low, 0.0)
    threshold = start + LIKED_SHARE_OF_SCALE * (high - start)
    span = high - low
    if len(levels) > MAX_LEVELS:
        return round(threshold, 2 - math.floor(math.log10(span)))
    # Four fifths of a decimal may come out a rounding error above the level that they are.
    return float(levels[np.searchsorted(levels, threshold - 1e-9 * span)])


def unusual_share(feedback: FeedbackSpec, values: pl.Series) -> tuple[str, ...]:
    """A warning where hardly any ratings are liked, or nearly all; ``values`` are those of the user-item pairs."""
    share = float(np.mean(values.to_numpy() >= feedback.liked_at_least))
    is_thumb = values.n_unique() <= 2  # noqa: PLR2004 - up and down leave no other threshold
    if feedback.kind != "ratings" or is_thumb or UNUSUALLY_FEW <= share <= UNUSUALLY_MANY:
        return ()
    low, high, liked = map(figure, (feedback.value_min, feedback.value_max, feedback.liked_at_least))
    what = f"{share:.1%} of the ratings are liked, those from {liked} on a scale from {low} to {high}"
    return (f"{what}; set --liked-from to another value if that is wrong",)


def _event_types(events: pl.DataFrame, liked: float, lowest: float, highest: float) -> dict[str, float]:
    """The source's most common types at their medians, and, where these are all alike, the usual ones like them."""
    typical = float(np.clip(np.median(events["value"].to_numpy()), liked, highest))
    by_name = (
        events.filter(
            pl.col("event").str.len_chars().is_between(1, MAX_EVENT_TYPE_CHARACTERS)
            & ~pl.col("event").str.contains(r"\p{Cc}")
        )
        .group_by("event")
        .agg(pl.len(), pl.col("value").median().clip(lowest, highest))
        .sort("len", "event", descending=[True, False])
        .head(MAX_EVENT_TYPES)
    )
    by_type = dict(by_name.select("event", "value").iter_rows())
    usual = {} if differ("counts", by_type) else dict.fromkeys(("view", "click", "like", "purchase"), typical)
    return usual | by_type
