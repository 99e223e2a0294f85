"""Ratings or counts: what the distribution of the values says, with the reason and how sure it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.scale import Kind
from model_store.content.bins import figure
from model_store.data.distribution import Distribution

# Rating scales seen in practice end at 10 or below, at 20, or at 100; counts go on.
HIGHEST_OF_SCALE = 100.0
FEW_POINTS = 10.0
USUAL_TOPS = (5.0, 10.0)
NEAR_TOP = 0.05
# Range of the highest value, and the least share of the events in the top fifth: 20 is a common amount as well.
LONG_SCALES = ((18.0, 20.0, 0.05), (80.0, 100.0, 0.02))
# Amounts below 0 that are more than the odd correction.
NEGATIVE_SHARE = 0.05
# A tail that would go on for so many more events has been cut by the end of a scale.
MISSING_TAIL, MISSING_TAIL_OF_FEW, FEW_EVENTS = 10.0, 6.0, 300
# Up to so many levels the last ones show how a tail falls; above, the last fifth of the span does.
TAIL_LEVELS = 8
TOP_LEVEL_SHARE, TOP_FIFTH_SHARE, TOP_FIFTH_EVENTS = 0.01, 0.02, 5
# Below so many events one at the top is enough; there is nothing better to go by.
HANDFUL = 50
TOP_LEVEL_EVENTS = 3
STEADY = 0.7
LONGEST_RATIO = 0.9
# Shares of the lowest level above which a falling distribution is one of counts.
MOSTLY_LOWEST = 2 / 3
MOSTLY_LOWER_OF_TWO = 0.8
# So many events use every level of a rating scale.
ENOUGH_FOR_ALL_LEVELS = 1000
FEW_LEVELS = 10
# The lowest part of a falling distribution has so many times the events of the highest.
FALL = 1.5
MIDDLE = 0.2
# Levels of a scale on which a fall before the last one is no chance, and the highest mark of schools.
MIN_FALLING, LONGEST_MARKS = 4, 20.0


class Verdict(NamedTuple):
    """The kind of the values, why, and where the evidence is weak, what else they may be."""

    kind: Kind
    reason: str
    doubt: str = ""


def judge(values: Distribution) -> Verdict:
    """Judge by the shape of a distribution of at least two values whether they are ratings or counts.

    Ratings end at the top of a scale, where many of them stand. Counts have a tail that falls until it is rare.
    """
    verdict = _judge(values)
    if verdict.kind == "ratings" and not verdict.doubt:
        return verdict._replace(doubt=_doubt_of_ratings(values))
    return verdict


def _judge(values: Distribution) -> Verdict:
    if values.high > HIGHEST_OF_SCALE or values.low < -HIGHEST_OF_SCALE:
        return Verdict("counts", f"they run {values}, beyond any usual rating scale")
    if values.low < 0:
        return _with_negatives(values)
    if len(values.levels) <= 2:  # noqa: PLR2004 - two levels have no shape
        return _of_two(values)
    if values.high == 1:
        return Verdict("ratings", "they are shares of 1")
    if falls(values):
        return _falling(values)
    return _whole(values) if values.whole else _decimal(values)


def _doubt_of_ratings(values: Distribution) -> str:
    """Evidence against ratings that end as a scale does; "" where there is none."""
    if _piles_up(values):
        return f"they fall from the lowest on and pile up at {figure(values.high)}, as counts do that stop there"
    if LONGEST_MARKS < values.high < (1 - NEAR_TOP) * HIGHEST_OF_SCALE:
        return f"they end at {figure(values.high)} rather than at 100"
    return ""


def _piles_up(values: Distribution) -> bool:
    """Whether whole numbers from 0 or 1 on fall, but for the highest, which is clearly more common again."""
    counts = _profile(values)
    if not values.whole or values.low not in (0, 1) or len(counts) < MIN_FALLING or counts[0] <= FALL * counts[-1]:
        return False
    rises = counts[1:] - counts[:-1] > _chance(counts[1:], counts[:-1])
    return bool(rises[-1]) and _falls(counts[:-1])


def _with_negatives(values: Distribution) -> Verdict:
    negative = values.share(values.levels < 0)
    if values.high <= 0:
        return Verdict("counts", "none is above 0")
    is_thumb = len(values.levels) <= 3 and values.high <= -values.low  # noqa: PLR2004 - −1, 0 and 1
    if is_thumb or (negative >= NEGATIVE_SHARE and _top_fifth(values) >= TOP_FIFTH_SHARE / 2):
        return Verdict("ratings", "they lie on both sides of 0")
    if negative >= NEGATIVE_SHARE:
        return Verdict("counts", f"few come near the highest of {values}", "they lie on both sides of 0")
    positive = values.between(np.nextafter(0, 1), np.inf)
    kind, reason, doubt = judge(positive) if len(positive.levels) > 1 else Verdict("counts", "all but a few are equal")
    is_rating = kind == "ratings"
    return Verdict(kind, reason, doubt or (f"{negative:.1%} of them are below 0" if is_rating else ""))


def _of_two(values: Distribution) -> Verdict:
    """Thumbs, or the weights of two types of event."""
    low, high = map(figure, (values.low, values.high))
    lower = values.share(values.levels == values.low)
    if values.low <= 0:
        return Verdict("ratings", f"they are {low} and {high}")
    doubt = f"they are {low} and {high} alone"
    is_weight = values.high > FEW_POINTS or lower >= MOSTLY_LOWER_OF_TWO or (values.high == 2 and lower > 1 / 2)  # noqa: PLR2004 - 1 or 2
    reason = f"{lower:.0%} of them are {low}" if is_weight else f"many are {high}, the end of a scale"
    return Verdict("counts" if is_weight else "ratings", reason, doubt)


def _falling(values: Distribution) -> Verdict:
    """The lowest values are the most common ones: counts, or a scale on which most rate badly."""
    end = f"they end at {figure(values.high)}"
    if values.whole and values.low > 1 and values.high <= FEW_POINTS:
        return Verdict("ratings", f"they run {values}, where counts would start at 1", "the lowest are the most common")
    if not _ends_abruptly(values):
        reason = f"the higher, the rarer they are, up to {figure(values.high)}"
        return Verdict("counts", reason, end if _ends_as_scales_do(values) else "")
    steady = _ratio(_profile(values)) >= STEADY
    if values.high > FEW_POINTS or not (steady or _uses_all_points(values)):
        share = values.share(values.levels == values.low)
        return Verdict("counts", f"the higher, the rarer they are: {share:.0%} of them are {figure(values.low)}", end)
    return Verdict(
        "ratings", f"{end}, where counts would go on", "" if steady else "the lowest of them are the most common"
    )


def _ends_as_scales_do(values: Distribution) -> bool:
    """Whether the highest value is about 5, 10 or 100, and whole numbers leave none of a short scale out."""
    if values.whole and values.high <= FEW_POINTS:
        return values.high in USUAL_TOPS and len(values.levels) >= values.high
    return any((1 - NEAR_TOP) * top <= values.high <= top for top in (*USUAL_TOPS, HIGHEST_OF_SCALE))


def _uses_all_points(values: Distribution) -> bool:
    """Whether the levels are evenly spaced, as far as the number of events can tell, and not nearly all the lowest."""
    steps = np.diff(values.levels)
    is_even = np.allclose(steps, steps[0]) or (values.whole and values.total < ENOUGH_FOR_ALL_LEVELS)
    return bool(is_even) and values.share(values.levels == values.low) < MOSTLY_LOWEST


def _whole(values: Distribution) -> Verdict:
    if values.high <= FEW_POINTS:
        if _ends_abruptly(values):
            return Verdict("ratings", f"they end at {figure(values.high)}, where counts would go on")
        is_usual = values.high in USUAL_TOPS
        reason = f"they run {values}" if is_usual else f"few come near the highest of {values}"
        return Verdict("ratings" if is_usual else "counts", reason, "few of them are near the highest")
    return _long(values)


def _decimal(values: Distribution) -> Verdict:
    if values.high <= FEW_POINTS:
        if _ends_abruptly(values):
            return Verdict("ratings", f"they are decimals that end at {figure(values.high)}")
        is_scale = _median_place(values) >= MIDDLE
        reason = f"they run {values}" if is_scale else f"few come near the highest of {values}"
        return Verdict("ratings" if is_scale else "counts", reason, "few of them are near the highest")
    return _long(values)


def _long(values: Distribution) -> Verdict:
    """Judge values that go beyond 10: marks up to 20, percentages, or amounts."""
    if not _ends_abruptly(values):
        doubt = "few of them are near the highest" if _ends_as_scales_do(values) else ""
        return Verdict("counts", f"few come near the highest of {values}", doubt)
    top = _top_fifth(values)
    is_usual = any(first <= values.high <= last and top >= share for first, last, share in LONG_SCALES)
    if is_usual and _median_place(values) >= MIDDLE:
        return Verdict("ratings", f"they run {values}, and many are near the highest")
    if is_usual and (profile := _profile(values))[-1] > FALL * profile[-2]:
        return Verdict("ratings", f"they run {values}, and many are near the highest", "most are near the lowest")
    return Verdict(
        "counts", f"they run {values}, as no usual rating scale does", f"many are near {figure(values.high)}"
    )


def _top_fifth(values: Distribution) -> float:
    return values.share(values.levels >= values.high - (values.high - values.low) / 5)


def _median_place(values: Distribution) -> float:
    """Place of the median between the lowest value (0) and the highest (1)."""
    middle = values.levels[np.searchsorted(np.cumsum(values.counts), values.total / 2)]
    return float((middle - values.low) / (values.high - values.low))


def _ends_abruptly(values: Distribution) -> bool:
    """Whether more events stand at the highest values than a tail would have there."""
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
    """Events at the last level for each at the one before, averaged over the last three; at most 0.9."""
    last = counts[-3:].astype(np.float64)
    return min(LONGEST_RATIO, float((last[-1] / last[0]) ** (1 / (len(last) - 1)))) if last[0] else LONGEST_RATIO


def falls(values: Distribution) -> bool:
    """Whether the lowest values are the most common ones and the others fall from there on, but for chance."""
    return _falls(_profile(values))


def _falls(counts: NDArray[np.int64]) -> bool:
    rises = counts[1:] - counts[:-1] > _chance(counts[1:], counts[:-1])
    return bool(counts.argmax() == 0 and counts[0] >= FALL * counts[-1] and not rises.any())


def _chance(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """Difference of two numbers of events that chance makes: two standard deviations."""
    deviations: NDArray[np.float64] = 2 * np.sqrt(first + second)
    return deviations


def _profile(values: Distribution) -> NDArray[np.int64]:
    """Events by level, or by fifth of the span where there are many levels."""
    if len(values.levels) <= FEW_LEVELS:
        return values.counts
    counts, _ = np.histogram(values.levels, bins=5, weights=values.counts)
    return counts.astype(np.int64)
