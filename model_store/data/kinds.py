"""Detection of ratings and counts from the distribution of the values, with a reason and possible doubts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.cells import text_of
from model_store.bundle.scale import Kind
from model_store.data.distribution import Distribution

# Rating scales in practice end at 10 or below, at 20, or at 100; counts have no upper end.
HIGHEST_OF_SCALE = 100.0
FEW_POINTS = 10.0
USUAL_TOPS = (5.0, 10.0)
NEAR_TOP = 0.05
# Range of the highest value, and lowest share of the events in the top fifth; 20 is a common amount, too.
LONG_SCALES = ((18.0, 20.0, 0.05), (80.0, 100.0, 0.02))
# A larger share of negative amounts is more than occasional corrections.
NEGATIVE_SHARE = 0.05
# A tail is cut off by the end of a scale if extrapolation adds at least so many events.
MISSING_TAIL, MISSING_TAIL_OF_FEW, FEW_EVENTS = 10.0, 6.0, 300
# With at most so many levels, the tail is estimated from the last levels; otherwise from the top fifth of the range.
TAIL_LEVELS = 8
TOP_LEVEL_SHARE, TOP_FIFTH_SHARE, TOP_FIFTH_EVENTS = 0.01, 0.02, 5
# With fewer events, one event at the top level is enough, for lack of better evidence.
HANDFUL = 50
TOP_LEVEL_EVENTS = 3
STEADY_RATIO = 0.7
LONGEST_RATIO = 0.9
# A decreasing distribution with a larger share at the lowest level consists of counts.
MOSTLY_LOWEST = 2 / 3
MOSTLY_LOWER_OF_TWO = 0.8
# With so many events, every level of a rating scale occurs.
ENOUGH_FOR_ALL_LEVELS = 1000
FEW_LEVELS = 10
# The lowest part of a decreasing distribution has so many times the events of the highest.
FALL = 1.5
MIDDLE = 0.2
# Fewest levels for a decrease before the last level to be significant, and the highest usual school mark.
MIN_FALLING, LONGEST_MARKS = 4, 20.0


class Verdict(NamedTuple):
    """The kind of the values, the reason, and a doubt if the evidence is weak, else ""."""

    kind: Kind
    reason: str
    doubt: str = ""


def judge(values: Distribution) -> Verdict:
    """Tell ratings from counts by the shape of a distribution with at least two values.

    Ratings end at the top of a scale, with many of them there. Counts have a tail that decreases until it is rare.
    """
    verdict = _judge(values)
    if verdict.kind == "ratings" and not verdict.doubt:
        return verdict._replace(doubt=_doubt_of_ratings(values))
    return verdict


def _judge(values: Distribution) -> Verdict:
    if values.high > HIGHEST_OF_SCALE or values.low < -HIGHEST_OF_SCALE:
        return Verdict("counts", f"they range from {values}, beyond any usual rating scale")
    if values.low < 0:
        return _judge_negatives(values)
    if len(values.levels) <= 2:  # noqa: PLR2004 - two levels have no shape
        return _judge_two_levels(values)
    if values.high == 1:
        return Verdict("ratings", "they are fractions of 1")
    if falls(values):
        return _judge_falling(values)
    return _judge_whole_numbers(values) if values.whole else _judge_decimals(values)


def _doubt_of_ratings(values: Distribution) -> str:
    """Evidence that values with the range of a rating scale are counts; "" without such evidence."""
    if _rises_at_top(values):
        return f"they get rarer from the lowest on but are common at {text_of(values.high)}, like capped counts"
    if LONGEST_MARKS < values.high < (1 - NEAR_TOP) * HIGHEST_OF_SCALE:
        return f"they end at {text_of(values.high)} rather than at 100"
    return ""


def _rises_at_top(values: Distribution) -> bool:
    """Whether whole numbers from 0 or 1 get rarer, except the highest, which is significantly more common again."""
    counts = _profile(values)
    if not values.whole or values.low not in (0, 1) or len(counts) < MIN_FALLING or counts[0] <= FALL * counts[-1]:
        return False
    rises = counts[1:] - counts[:-1] > _chance(counts[1:], counts[:-1])
    return bool(rises[-1]) and _falls(counts[:-1])


def _judge_negatives(values: Distribution) -> Verdict:
    negative = values.share(values.levels < 0)
    if values.high <= 0:
        return Verdict("counts", "none is above 0")
    is_thumb = len(values.levels) <= 3 and values.high <= -values.low  # noqa: PLR2004 - −1, 0 and 1
    if is_thumb or (negative >= NEGATIVE_SHARE and _top_fifth(values) >= TOP_FIFTH_SHARE / 2):
        return Verdict("ratings", "they are on both sides of 0")
    if negative >= NEGATIVE_SHARE:
        return Verdict("counts", f"few are near the highest of {values}", "they are on both sides of 0")
    positive = values.between(np.nextafter(0, 1), np.inf)
    kind, reason, doubt = judge(positive) if len(positive.levels) > 1 else Verdict("counts", "all but a few are equal")
    is_rating = kind == "ratings"
    return Verdict(kind, reason, doubt or (f"{negative:.1%} of them are below 0" if is_rating else ""))


def _judge_two_levels(values: Distribution) -> Verdict:
    """Tell thumbs up and down from the weights of two event types."""
    low, high = map(text_of, (values.low, values.high))
    lower = values.share(values.levels == values.low)
    if values.low <= 0:
        return Verdict("ratings", f"they are {low} and {high}")
    doubt = f"they are only {low} and {high}"
    is_weight = values.high > FEW_POINTS or lower >= MOSTLY_LOWER_OF_TWO or (values.high == 2 and lower > 1 / 2)  # noqa: PLR2004 - 1 or 2
    reason = f"{lower:.0%} of them are {low}" if is_weight else f"many are {high}, the end of a scale"
    return Verdict("counts" if is_weight else "ratings", reason, doubt)


def _judge_falling(values: Distribution) -> Verdict:
    """Judge values of which the lowest are the most common: counts, or mostly low ratings."""
    end = f"they end at {text_of(values.high)}"
    if values.whole and values.low > 1 and values.high <= FEW_POINTS:
        reason = f"they range from {values}, but counts would start at 1"
        return Verdict("ratings", reason, "the lowest are the most common")
    if not _ends_abruptly(values):
        reason = f"higher values are rarer, up to {text_of(values.high)}"
        return Verdict("counts", reason, end if _ends_as_scales_do(values) else "")
    steady = _ratio(_profile(values)) >= STEADY_RATIO
    if values.high > FEW_POINTS or not (steady or _uses_all_points(values)):
        share = values.share(values.levels == values.low)
        return Verdict("counts", f"higher values are rarer: {share:.0%} are {text_of(values.low)}", end)
    return Verdict("ratings", f"{end}, but counts would continue", "" if steady else "the lowest are the most common")


def _ends_as_scales_do(values: Distribution) -> bool:
    """Whether the highest value is about 5, 10 or 100, and whole numbers include every level of a short scale."""
    if values.whole and values.high <= FEW_POINTS:
        return values.high in USUAL_TOPS and len(values.levels) >= values.high
    return any((1 - NEAR_TOP) * top <= values.high <= top for top in (*USUAL_TOPS, HIGHEST_OF_SCALE))


def _uses_all_points(values: Distribution) -> bool:
    """Whether levels are evenly spaced, as far as few events show it, and the lowest one does not dominate."""
    steps = np.diff(values.levels)
    is_even = np.allclose(steps, steps[0]) or (values.whole and values.total < ENOUGH_FOR_ALL_LEVELS)
    return bool(is_even) and values.share(values.levels == values.low) < MOSTLY_LOWEST


def _judge_whole_numbers(values: Distribution) -> Verdict:
    if values.high <= FEW_POINTS:
        if _ends_abruptly(values):
            return Verdict("ratings", f"they end at {text_of(values.high)}, but counts would continue")
        is_usual = values.high in USUAL_TOPS
        reason = f"they range from {values}" if is_usual else f"few are near the highest of {values}"
        return Verdict("ratings" if is_usual else "counts", reason, "few of them are near the highest")
    return _judge_beyond_ten(values)


def _judge_decimals(values: Distribution) -> Verdict:
    if values.high <= FEW_POINTS:
        if _ends_abruptly(values):
            return Verdict("ratings", f"they are decimals that end at {text_of(values.high)}")
        is_scale = _median_position(values) >= MIDDLE
        reason = f"they range from {values}" if is_scale else f"few are near the highest of {values}"
        return Verdict("ratings" if is_scale else "counts", reason, "few of them are near the highest")
    return _judge_beyond_ten(values)


def _judge_beyond_ten(values: Distribution) -> Verdict:
    """Judge values above 10: marks up to 20, percentages, or amounts."""
    if not _ends_abruptly(values):
        doubt = "few of them are near the highest" if _ends_as_scales_do(values) else ""
        return Verdict("counts", f"few are near the highest of {values}", doubt)
    top = _top_fifth(values)
    is_usual = any(first <= values.high <= last and top >= share for first, last, share in LONG_SCALES)
    reason = f"they range from {values}"
    if is_usual and _median_position(values) >= MIDDLE:
        return Verdict("ratings", f"{reason}, and many are near the highest")
    if is_usual and (profile := _profile(values))[-1] > FALL * profile[-2]:
        return Verdict("ratings", f"{reason}, and many are near the highest", "most are near the lowest")
    return Verdict("counts", f"{reason}, unlike usual rating scales", f"many are near {text_of(values.high)}")


def _top_fifth(values: Distribution) -> float:
    return values.share(values.levels >= values.high - (values.high - values.low) / 5)


def _median_position(values: Distribution) -> float:
    """Relative position of the median between the lowest value (0) and the highest (1)."""
    middle = values.levels[np.searchsorted(np.cumsum(values.counts), values.total / 2)]
    return float((middle - values.low) / (values.high - values.low))


def _ends_abruptly(values: Distribution) -> bool:
    """Whether more events have the highest values than a decreasing tail would give."""
    if len(values.levels) > TAIL_LEVELS:
        share = _top_fifth(values)
        return share >= TOP_FIFTH_SHARE and share * values.total >= TOP_FIFTH_EVENTS
    ratio = _ratio(values.counts)
    rest = int(values.counts[-1]) * ratio / (1 - ratio)
    enough = MISSING_TAIL_OF_FEW if values.total < FEW_EVENTS else MISSING_TAIL
    top = int(values.counts[-1])
    common = top >= TOP_LEVEL_SHARE * values.total and (top >= TOP_LEVEL_EVENTS or values.total < HANDFUL)
    return rest >= enough and common


def _ratio(counts: NDArray[np.int64]) -> float:
    """Ratio of the events at one level to those at the level before, averaged over the last three; at most 0.9."""
    last = counts[-3:].astype(np.float64)
    return min(LONGEST_RATIO, float((last[-1] / last[0]) ** (1 / (len(last) - 1)))) if last[0] else LONGEST_RATIO


def falls(values: Distribution) -> bool:
    """Whether the lowest values are the most common and higher ones get rarer, apart from chance."""
    return _falls(_profile(values))


def _falls(counts: NDArray[np.int64]) -> bool:
    rises = counts[1:] - counts[:-1] > _chance(counts[1:], counts[:-1])
    return bool(counts.argmax() == 0 and counts[0] >= FALL * counts[-1] and not rises.any())


def _chance(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Two standard deviations of the difference between two numbers of events."""
    deviations: NDArray[np.float64] = 2 * np.sqrt(first + second)
    return deviations


def _profile(values: Distribution) -> NDArray[np.int64]:
    """Number of events by level, or by fifth of the range if there are many levels."""
    if len(values.levels) <= FEW_LEVELS:
        return values.counts
    counts, _ = np.histogram(values.levels, bins=5, weights=values.counts)
    return counts.astype(np.int64)
