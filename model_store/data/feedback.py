"""Interpretation of a source's values: kind, scale, and the threshold for likes."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.cells import text_of
from model_store.bundle.manifest import FeedbackSpec
from model_store.bundle.scale import Kind
from model_store.config import ReadOptions
from model_store.data.distribution import LARGEST_VALUE, Distribution, Trimmed, plausible, rating_scale
from model_store.data.event_types import differ, least_common, liked_value, type_values
from model_store.data.kinds import Verdict, falls, judge
from model_store.errors import DataError
from model_store.tables.notes import Note

LIKED_SHARE_OF_SCALE = 0.8
# With at most so many levels, the threshold for likes is one of them.
MAX_LEVELS = 21
MAX_EVENT_TYPES = 20
MAX_EVENT_TYPE_CHARACTERS = 64
# Share of a type's events that may differ from its usual value.
STRAY_SHARE = 0.01
# Share of repeated user-item pairs from which values are taken for counts.
REPEATED_SHARE = 0.01
OFTEN_REPEATED_SHARE = 0.05
UNUSUALLY_FEW, UNUSUALLY_MANY = 0.05, 0.95


class Feedback(NamedTuple):
    """Events with valid feedback, and the meaning of their values.

    Attributes:
        events: events with values on the scale.
        kind: kind of the values.
        reason: reason for the kind, as a clause.
        notes: counts of dropped values.
        warnings: uncertain decisions, as sentences.
    """

    events: pl.DataFrame
    kind: Kind
    reason: str
    notes: tuple[Note, ...]
    warnings: tuple[str, ...]


def read_feedback(name: str, events: pl.DataFrame, options: ReadOptions) -> Feedback:
    """Detect the kind of the values, unless ``options`` sets it, and drop values outside of the scale.

    Args:
        name: name of the table, for messages.
        events: columns ``user_id``, ``item_id``, ``value`` and ``event``; at least one row.
        options: ``feedback`` sets the kind.

    Raises:
        DataError: no value can be used, or ratings and other event types are mixed while the kind is not set.
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
    notes = (*used.excluded, *scale.excluded, *_negative_notes(verdict.kind, scale.kept))
    return Feedback(kept, verdict.kind, verdict.reason, notes, _doubt_warnings(verdict))


def _negative_notes(kind: Kind, values: Distribution) -> tuple[Note, ...]:
    """A note about negative counts, such as returned goods; none for other kinds."""
    negative = values.between(-np.inf, np.nextafter(0, -1))
    return (
        (Note(negative.total, "events with a value below 0, which is subtracted"),)
        if kind == "counts" and negative.total
        else ()
    )


def _within(events: pl.DataFrame, values: Distribution) -> pl.DataFrame:
    return events.filter(pl.col("value").is_between(values.low, values.high))


def _doubt_warnings(verdict: Verdict) -> tuple[str, ...]:
    """A warning if the evidence is weak."""
    if not verdict.doubt:
        return ()
    kind, other = verdict.kind, "counts" if verdict.kind == "ratings" else "ratings"
    remedy = f"set --feedback {kind} or --feedback {other}"
    return (f"values are read as {kind}, but {verdict.doubt}, so they may be {other}; {remedy}",)


def _decide(name: str, events: pl.DataFrame, values: Distribution) -> Verdict:
    """Detect the kind from event types, the distribution of the values, and the share of repeated pairs."""
    if len(values.levels) == 1:
        return _judge_one_level(events, values)
    by_type = _judge_types(name, events)
    if by_type is not None:
        return by_type
    scale = rating_scale(values).kept
    verdict = judge(scale) if len(scale.levels) > 1 else judge(values)
    if verdict.doubt and scale.low > 0 and (share := _repeated_share(events)) >= OFTEN_REPEATED_SHARE:
        return Verdict("counts", f"{share:.0%} of the events repeat a user-item pair")
    if verdict.kind == "ratings" and not verdict.doubt and scale.high < values.high and falls(scale):
        return verdict._replace(doubt=f"the lowest are the most common, and some are above {text_of(scale.high)}")
    return verdict


def _judge_one_level(events: pl.DataFrame, values: Distribution) -> Verdict:
    share = _repeated_share(events)
    if share >= REPEATED_SHARE:
        return Verdict(
            "counts", f"all are {text_of(values.low)}, and {share:.0%} of the events repeat a user-item pair"
        )
    return Verdict("clicks", f"all are {text_of(values.low)}")


def _repeated_share(events: pl.DataFrame) -> float:
    """Share of the events that repeat a user-item pair, 0 … 1."""
    return 1 - events.select("user_id", "item_id").n_unique() / len(events)


def _judge_types(name: str, events: pl.DataFrame) -> Verdict | None:
    """Read values as counts if event types have one value each; None if the types do not decide the kind.

    Raises:
        DataError: some types have ratings, and others one value each.
    """
    types = {} if events["event"].n_unique() == 1 else _values_by_type(events)
    if len(types) < 2:  # noqa: PLR2004 - a single type has nothing to compare with
        return None
    usual = {event: values for event, values in types.items() if values.counts.max() < (1 - STRAY_SHARE) * values.total}
    constant = {event: _mode(values) for event, values in types.items() if event not in usual}
    if not constant:
        return None
    weights = ", ".join(f"{event or 'no type'} {text_of(value)}" for event, value in list(constant.items())[:3])
    if not usual:
        is_one_value = len(set(constant.values())) == 1
        return None if is_one_value else Verdict("counts", f"each event type has a fixed value: {weights}")
    event, values = next(iter(usual.items()))
    verdict = judge(rating_scale(values).kept)
    if verdict.kind == "ratings" and not verdict.doubt:
        raise DataError(
            f"{name}: column 'event' mixes ratings ({event or 'no type'} {values}) with types that have a fixed value "
            f"({weights}); remove one of the two, or set --feedback counts, which adds values, or --feedback ratings"
        )
    return Verdict("counts", f"some event types have a fixed value: {weights}")


def _values_by_type(events: pl.DataFrame) -> dict[str, Distribution]:
    """Distribution of the values by common event type, most common first; the type of events without one is ""."""
    named = events.select(pl.col("event").fill_null(""), "value")
    types = named.group_by("event").len("events").filter(pl.col("events") >= least_common(len(events)))
    names = types.sort("events", "event", descending=[True, False])["event"].to_list()
    return {name: Distribution.of(named.filter(pl.col("event") == name)["value"]) for name in names}


def _mode(values: Distribution) -> float:
    return float(values.levels[values.counts.argmax()])


def feedback_spec(kind: Kind, events: pl.DataFrame, values: pl.Series, liked_from: float | None = None) -> FeedbackSpec:
    """Determine scale, threshold for likes and vocabulary of event types.

    The threshold of ratings is the first level from 4/5 of the highest one (4 of 5, 8 of 10). On a scale that starts
    below 0, it is 4/5 of the range (6 of -10 … 10). For counts and clicks, it is the lowest value above 0, which must
    exist. If event types differ in value, it is the value of the most valuable common type.

    Args:
        kind: kind of the values.
        events: columns ``value`` and ``event``, before user-item pairs are merged.
        values: value of each user-item pair.
        liked_from: threshold that replaces the detected one.

    Raises:
        DataError: ``liked_from`` is outside of the scale.
    """
    levels = values.unique().sort().to_numpy()
    # Counts of a pair are added, so a single event may be lower than every pair.
    lowest = min(float(levels[0]), float(events["value"].to_numpy().min()))
    highest = float(levels[-1])
    if liked_from is not None and not lowest <= liked_from <= highest:
        raise DataError(
            f"--liked-from {liked_from:g}: {kind} are between {text_of(lowest)} and {text_of(highest)}, "
            "expected a value in this range"
        )
    liked = liked_from
    if liked is None and differ(kind, medians := type_values(events)):
        liked = liked_value(medians, values.to_numpy())
    if liked is None:
        liked = _threshold(kind, levels)
    if kind == "ratings":
        types = {"like": highest, "purchase": highest, "click": liked, "dislike": lowest}
    else:
        types = _event_types(events, liked, lowest, highest)
    return FeedbackSpec(kind=kind, value_min=lowest, value_max=highest, liked_at_least=liked, types=types)


def _threshold(kind: Kind, levels: NDArray[np.float64]) -> float:
    """Lowest value that counts as liked; one of ``levels`` if these are few."""
    if kind != "ratings":
        return float(levels[np.searchsorted(levels, np.nextafter(0, 1))])
    low, high = float(levels[0]), float(levels[-1])
    start = min(low, 0.0)
    threshold = start + LIKED_SHARE_OF_SCALE * (high - start)
    span = high - low
    if len(levels) > MAX_LEVELS:
        return round(threshold, 2 - math.floor(math.log10(span)))
    # Rounding errors may put four fifths of a decimal number slightly above the level they equal.
    return float(levels[np.searchsorted(levels, threshold - 1e-9 * span)])


def unusual_share(feedback: FeedbackSpec, values: pl.Series) -> tuple[str, ...]:
    """A warning if hardly any or nearly all ratings are liked; ``values`` are those of the user-item pairs."""
    share = float(np.mean(values.to_numpy() >= feedback.liked_at_least))
    is_thumb = values.n_unique() <= 2  # noqa: PLR2004 - two levels allow one threshold only
    if feedback.kind != "ratings" or is_thumb or UNUSUALLY_FEW <= share <= UNUSUALLY_MANY:
        return ()
    low, high, liked = map(text_of, (feedback.value_min, feedback.value_max, feedback.liked_at_least))
    finding = f"{share:.1%} of the ratings are liked, because they are at least {liked} on a scale from {low} to {high}"
    return (f"{finding}; if this is wrong, set --liked-from",)


def _event_types(events: pl.DataFrame, liked: float, lowest: float, highest: float) -> dict[str, float]:
    """Map the source's most common event types to their median values; if these are all equal, add usual types."""
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
