"""The distribution of a source's values: bounds of a rating scale, and the values outside of them.

Everything here looks at how often values occur, never at a single extreme: one wrong row cannot move a bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.content.bins import figure
from model_store.data.summary import Note

# No rating and no amount is as large; markers of missing numbers, such as the largest float, are.
LARGEST_VALUE = 1e15
# Share of the events that may lie outside of a scale without widening it; one event always may.
RARE_SHARE = 0.01
# Events at the end of a scale for each event beyond that end, for the end to be an end.
ABRUPT, ABRUPT_FOR_ONE = 10, 3
# A gap of this share of the scale makes a rare value beyond it an outlier, however few events stand at the end.
WIDE_GAP = 0.5
# It is also wider than so many of the widest step between the values of the scale.
WIDE_STEP = 1.5
MISSING_BELOW = (-1.0, -9.0, -99.0, -999.0, -9999.0, -32768.0, -2147483648.0)
MISSING_ABOVE = (
    9.0,
    77.0,
    88.0,
    98.0,
    99.0,
    888.0,
    998.0,
    999.0,
    9999.0,
    99999.0,
    999999.0,
    255.0,
    32767.0,
    65535.0,
    2147483647.0,
)
# Levels that a scale needs beside a value that stands for "missing".
SCALE_LEVELS = 3
SHORT_SCALE, HIGHEST_POINT = 4, 10
# 0 means "not rated" where it makes up this share of the events, is that much more common than any other level …
UNRATED_SHARE, UNRATED_TIMES = 0.25, 1.5
# … and that much more common than the levels next to it, which reach up to this share of the scale.
UNRATED_STEP, NEXT_TO_ZERO = 4, 0.15
SCALE_TOP_OF_UNRATED = 3


class Distribution(NamedTuple):
    """Distinct values, float64 (n,), increasing, and the number of events with each, int64 (n,)."""

    levels: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, values: pl.Series) -> Distribution:
        """Count ``values``, finite float64."""
        counted = values.rename("value").to_frame().group_by("value").len("events").sort("value")
        return cls(counted["value"].to_numpy(), counted["events"].to_numpy().astype(np.int64))

    @property
    def total(self) -> int:
        """Number of events."""
        return int(self.counts.sum())

    @property
    def low(self) -> float:
        """Lowest value."""
        return float(self.levels[0])

    @property
    def high(self) -> float:
        """Highest value."""
        return float(self.levels[-1])

    @property
    def whole(self) -> bool:
        """Whether practically all events have whole numbers as values."""
        return self.share(self.levels % 1 == 0) >= 1 - RARE_SHARE

    def between(self, low: float, high: float) -> Distribution:
        """The part with values from ``low`` to ``high``, both included."""
        inside = (self.levels >= low) & (self.levels <= high)
        return Distribution(self.levels[inside], self.counts[inside])

    def events(self, low: float, high: float) -> int:
        """Number of events with values from ``low`` to ``high``, both included."""
        return self.between(low, high).total

    def share(self, chosen: NDArray[np.bool_]) -> float:
        """Share of the events that have the chosen levels, 0 … 1."""
        return float(self.counts[chosen].sum() / self.total)

    def __str__(self) -> str:
        """The span of the values, e.g. "1 to 5"."""
        return " to ".join(dict.fromkeys((figure(self.low), figure(self.high))))


class Trimmed(NamedTuple):
    """The values that are used, and those that are left out."""

    kept: Distribution
    excluded: tuple[Note, ...]


def plausible(values: Distribution) -> Trimmed:
    """Values without those that are too large to be any rating or amount."""
    kept = values.between(-LARGEST_VALUE, LARGEST_VALUE)
    dropped = values.total - kept.total
    reason = f"events dropped: value is beyond ±{LARGEST_VALUE:g}, which stands for a missing number"
    return Trimmed(kept, (Note(dropped, reason),) if dropped else ())


def rating_scale(values: Distribution) -> Trimmed:
    """The scale that ``values`` would have as ratings: without outliers and without markers of missing ratings."""
    excluded: list[Note] = []
    kept = values
    for trim in (_trim_outliers, _trim_missing, _trim_outliers, _trim_unrated):
        kept, reasons = trim(kept)
        excluded += reasons
    return Trimmed(kept, tuple(excluded))


def _trim_outliers(values: Distribution) -> Trimmed:
    """Drop the few events beyond the bounds that nearly all events keep to."""
    rare = max(1, int(RARE_SHARE * values.total))
    from_top, from_bottom = np.cumsum(values.counts[::-1])[::-1], np.cumsum(values.counts)
    common_high = float(values.levels[np.flatnonzero(from_top > rare)[-1]]) if values.total > rare else values.high
    common_low = float(values.levels[np.flatnonzero(from_bottom > rare)[0]]) if values.total > rare else values.low
    high, low = _usual_top(common_high), _usual_bottom(common_low, whole=values.whole)
    core = values.between(low, high)
    if len(core.levels) < 2:  # noqa: PLR2004 - one level is no scale, of which another could be out
        return Trimmed(values, ())
    tenth, span = (core.high - core.low) / 10, max(high - core.low, 0.0)
    above, below = (
        values.between(np.nextafter(high, np.inf), np.inf),
        values.between(-np.inf, np.nextafter(low, -np.inf)),
    )
    # A gap is wide beside the scale and beside its steps: 4 is the next level of 1, 2, 3, however few there are.
    wide = max(WIDE_GAP * span, WIDE_STEP * float(np.diff(core.levels).max()))
    if not _is_beyond(above, core.events(core.high - tenth, core.high), rare, _gap(above, core) >= wide):
        high = values.high
    if not _is_beyond(below, core.events(core.low, core.low + tenth), rare, _gap(core, below) >= wide):
        low = values.low
    kept = values.between(low, high)
    dropped = values.total - kept.total
    reason = f"events dropped: value is {_examples(values, kept)}, an outlier among values of {kept}"
    return Trimmed(kept, (Note(dropped, reason),) if dropped else ())


def _is_beyond(outside: Distribution, at_the_end: int, rare: int, far: bool) -> bool:  # noqa: FBT001 - private, one use
    times = ABRUPT if outside.total > 1 else ABRUPT_FOR_ONE
    return 0 < outside.total <= rare and (far or times * outside.total <= at_the_end)


def _gap(upper: Distribution, lower: Distribution) -> float:
    return upper.low - lower.high if len(upper.levels) and len(lower.levels) else 0.0


def _usual_top(level: float) -> float:
    """The end of the scale of which ``level`` is the highest common value: few may rate 5 of 5, or 10 of 10."""
    top = float(np.ceil(level))
    for first, last, end in ((4, 5, 5.0), (7, 10, 10.0), (80, 100, 100.0)):
        if first <= top <= last:
            return end
    return top


def _usual_bottom(level: float, *, whole: bool) -> float:
    """The start of the scale of which ``level`` is the lowest common value: few may rate 1, or 0.5."""
    if level < 0:
        return float(np.floor(level))
    return 1.0 if whole and level >= 1 else 0.0


def _examples(values: Distribution, kept: Distribution) -> str:
    """Up to three of the values that are not kept."""
    outside = values.levels[(values.levels < kept.low) | (values.levels > kept.high)]
    return ", ".join(map(figure, outside[:3])) + (", …" if len(outside) > 3 else "")  # noqa: PLR2004 - as said above


def _trim_missing(values: Distribution) -> Trimmed:
    """Drop −1, 99 and the like where they stand outside of the scale of all others."""
    excluded, kept = [], values
    rest = kept.between(0, np.inf)
    negative = kept.levels[kept.levels < 0].tolist()
    if negative and set(negative) <= set(MISSING_BELOW) and _is_scale(rest):
        excluded.append(_missing(kept, rest))
        kept = rest
    rest = _without_marks_above(kept)
    if rest.total < kept.total and _is_scale(rest) and _is_far_below(rest, kept):
        excluded.append(_missing(kept, rest))
        kept = rest
    return Trimmed(kept, tuple(excluded))


def _without_marks_above(values: Distribution) -> Distribution:
    """``values`` without the highest ones that are marks of missing numbers."""
    marks = np.isin(values.levels, MISSING_ABOVE)
    unmarked = np.flatnonzero(~marks)
    return values.between(values.low, float(values.levels[unmarked[-1]])) if len(unmarked) else values


def _is_far_below(rest: Distribution, values: Distribution) -> bool:
    """Whether the next of ``values`` above ``rest`` is further away than ``rest`` is long.

    9 is one of ten points as well, so it needs nearly all points of a short scale beside it.
    """
    mark = float(values.levels[len(rest.levels)])
    return mark - rest.high >= rest.high - rest.low and (mark > HIGHEST_POINT or len(rest.levels) >= SHORT_SCALE)


def _is_scale(values: Distribution) -> bool:
    enough = len(values.levels) >= SCALE_LEVELS and values.high >= SCALE_TOP_OF_UNRATED
    return enough or len(values.levels) > HIGHEST_POINT


def _missing(values: Distribution, kept: Distribution) -> Note:
    reason = f"events dropped: value is {_examples(values, kept)}, which stands for a missing rating beside {kept}"
    return Note(values.total - kept.total, reason)


def _trim_unrated(values: Distribution) -> Trimmed:
    """Drop 0 where it is by far the most common value and the low ratings next to it are rare."""
    rest = values.between(np.nextafter(0, 1), np.inf)
    if values.low != 0 or len(rest.levels) < SCALE_LEVELS or rest.high < SCALE_TOP_OF_UNRATED:
        return Trimmed(values, ())
    zeros = int(values.counts[0])
    next_to_it = rest.events(rest.low, max(rest.low, NEXT_TO_ZERO * rest.high))
    is_unrated = (
        zeros >= UNRATED_SHARE * values.total
        and zeros >= UNRATED_TIMES * rest.counts.max()
        and zeros >= UNRATED_STEP * next_to_it
    )
    reason = f'events dropped: value is 0, which stands for "not rated" beside {rest}'
    return Trimmed(rest, (Note(zeros, reason),)) if is_unrated else Trimmed(values, ())
