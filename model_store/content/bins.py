"""Bins of about equally many values, whose bounds are values that occur."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bins(NamedTuple):
    """Lowest and highest value of each bin, float64 (n_bins,) both, increasing."""

    lows: NDArray[np.float64]
    highs: NDArray[np.float64]

    def place(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bin of each value, int64 (len,): the last one that starts at or below it, else the first."""
        return np.maximum(np.searchsorted(self.lows, values, side="right") - 1, 0)


def quantile_bins(values: NDArray[np.float64], most: int) -> Bins:
    """At most ``most`` bins over finite ``values``: one for each value where so few occur, else by quantiles.

    There must be at least one value.
    """
    levels = np.unique(values)
    if len(levels) <= most:
        return Bins(levels, levels)
    edges = np.quantile(values, np.linspace(0, 1, most + 1)[:-1])
    starts = np.unique(np.searchsorted(levels, edges))
    return Bins(levels[starts], levels[np.append(starts[1:], len(levels)) - 1])


def figure(value: float) -> str:
    """The shortest text that reads back as ``value``, whole numbers without a fraction."""
    return repr(float(value)).removesuffix(".0")
