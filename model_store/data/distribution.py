"""Distribution of a source's values: bounds of a rating scale, and values outside of it.

Bounds depend on how often values occur, never on a single extreme, so that one wrong row cannot move a bound.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.bundle.cells import text_of
from model_store.tables.notes import Note

# Larger values mark missing numbers, such as the largest float; ratings and amounts are smaller.
LARGEST_VALUE = 1e15
# Share of the events that may lie outside of a scale without widening it; one event always may.
RARE_SHARE = 0.01
# The end of a scale needs so many events per event beyond it.
ABRUPT, ABRUPT_FOR_ONE = 10, 3
# A rare value beyond a gap of this share of the scale is an outlier, however few events the end of the scale has …
WIDE_GAP = 0.5
# … if the gap also exceeds so many times the widest step between the values of the scale.
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
# Levels that a scale needs beside a value that means "missing".
SCALE_LEVELS = 3
SHORT_SCALE, HIGHEST_POINT = 4, 10
# 0 means "not rated" if it has this share of the events, so many times as many as any other level …
UNRATED_SHARE, UNRATED_TIMES = 0.25, 1.5
# … and so many times as many as the adjacent levels, up to this share of the scale.
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
        """Whether at least 99% of the events have whole numbers as values."""
        return self.share(self.levels % 1 == 0) >= 1 - RARE_SHARE

    def between(self, low: float, high: float) -> Distribution:
        """Select the values from ``low`` to ``high``, both included."""
        inside = (self.levels >= low) & (self.levels <= high)
        return Distribution(self.levels[inside], self.counts[inside])

    def events(self, low: float, high: float) -> int:
        """Number of events with values from ``low`` to ``high``, both included."""
        return self.between(low, high).total

    def share(self, chosen: NDArray[np.bool_]) -> float:
        """Share of the events with the ``chosen`` levels, bool (n,); 0 … 1."""
        return float(self.counts[chosen].sum() / self.total)

    def __str__(self) -> str:
        """Range of the values, e.g. "1 to 5"."""
        return " to ".join(dict.fromkeys((text_of(self.low), text_of(self.high))))


class Trimmed(NamedTuple):
    """Values to keep, and notes about the dropped ones."""

    kept: Distribution
    excluded: tuple[Note, ...]


def plausible(values: Distribution) -> Trimmed:
    """Drop values that are too large for a rating or an amount."""
    kept = values.between(-LARGEST_VALUE, LARGEST_VALUE)
    dropped = values.total - kept.total
    reason = f"events dropped: value is beyond ±{LARGEST_VALUE:g}, read as a missing number"
    return Trimmed(kept, (Note(dropped, reason),) if dropped else ())


def rating_scale(values: Distribution) -> Trimmed:
    """Find the scale of ``values`` as ratings: drop outliers and markers of missing ratings."""
    excluded: list[Note] = []
    kept = values
    for trim in (_trim_outliers, _trim_missing, _trim_outliers, _trim_unrated):
        kept, reasons = trim(kept)
        excluded += reasons
    return Trimmed(kept, tuple(excluded))


def _trim_outliers(values: Distribution) -> Trimmed:
    """Drop the few events outside of the bounds that contain nearly all events."""
    rare = max(1, int(RARE_SHARE * values.total))
    from_top, from_bottom = np.cumsum(values.counts[::-1])[::-1], np.cumsum(values.counts)
    common_high = float(values.levels[np.flatnonzero(from_top > rare)[-1]]) if values.total > rare else values.high
    common_low = float(values.levels[np.flatnonzero(from_bottom > rare)[0]]) if values.total > rare else values.low
    high, low = _usual_top(common_high), _usual_bottom(common_low, whole=values.whole)
    core = values.between(low, high)
    if len(core.levels) < 2:  # noqa: PLR2004 - outliers need a scale of at least two levels
        return Trimmed(values, ())
    tenth, span = (core.high - core.low) / 10, max(high - core.low, 0.0)
    above, below = (
        values.between(np.nextafter(high, np.inf), np.inf),
        values.between(-np.inf, np.nextafter(low, -np.inf)),
    )
    # Compare a gap with the scale and with its steps: 4 is the next level of 1, 2, 3, even if it is rare.
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
    """Top of the usual scale whose highest common value is ``level``; few events may have 5 of 5, or 10 of 10."""
    top = float(np.ceil(level))
    for first, last, end in ((4, 5, 5.0), (7, 10, 10.0), (80, 100, 100.0)):
        if first <= top <= last:
            return end
    return top


def _usual_bottom(level: float, *, whole: bool) -> float:
    """Bottom of the usual scale whose lowest common value is ``level``; few events may have 1, or 0.5."""
    if level < 0:
        return float(np.floor(level))
    return 1.0 if whole and level >= 1 else 0.0


def _examples(values: Distribution, kept: Distribution) -> str:
    """List up to three dropped values."""
    outside = values.levels[(values.levels < kept.low) | (values.levels > kept.high)]
    return ", ".join(map(text_of, outside[:3])) + (", …" if len(outside) > 3 else "")  # noqa: PLR2004 - three, as above


def _trim_missing(values: Distribution) -> Trimmed:
    """Drop −1, 99 and other markers of missing ratings if they lie outside of the scale of the other values."""
    excluded, kept = [], values
    rest = kept.between(0, np.inf)
    negative = kept.levels[kept.levels < 0].tolist()
    if negative and set(negative) <= set(MISSING_BELOW) and _is_scale(rest):
        excluded.append(_missing(kept, rest))
        kept = rest
    rest = _without_markers_above(kept)
    if rest.total < kept.total and _is_scale(rest) and _is_far_below(rest, kept):
        excluded.append(_missing(kept, rest))
        kept = rest
    return Trimmed(kept, tuple(excluded))


def _without_markers_above(values: Distribution) -> Distribution:
    """Drop the highest values while they are markers of missing numbers."""
    markers = np.isin(values.levels, MISSING_ABOVE)
    ordinary = np.flatnonzero(~markers)
    return values.between(values.low, float(values.levels[ordinary[-1]])) if len(ordinary) else values


def _is_far_below(rest: Distribution, values: Distribution) -> bool:
    """Whether the gap between ``rest`` and the next of ``values`` is at least as wide as the range of ``rest``.

    9 may also be a level of a ten-point scale, so it is a marker only beside most levels of a short scale.
    """
    marker = float(values.levels[len(rest.levels)])
    return marker - rest.high >= rest.high - rest.low and (marker > HIGHEST_POINT or len(rest.levels) >= SHORT_SCALE)


def _is_scale(values: Distribution) -> bool:
    enough = len(values.levels) >= SCALE_LEVELS and values.high >= SCALE_TOP_OF_UNRATED
    return enough or len(values.levels) > HIGHEST_POINT


def _missing(values: Distribution, kept: Distribution) -> Note:
    reason = f"events dropped: value is {_examples(values, kept)}, read as a missing rating beside values of {kept}"
    return Note(values.total - kept.total, reason)


def _trim_unrated(values: Distribution) -> Trimmed:
    """Drop 0 if it is by far the most common value and the adjacent low ratings are rare."""
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
    reason = f'events dropped: value is 0, read as "not rated" beside values of {rest}'
    return Trimmed(rest, (Note(zeros, reason),)) if is_unrated else Trimmed(values, ())
