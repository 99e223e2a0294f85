"""Does a series grow? A slope with its interval, robust against outliers and asking for no distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes


@dataclass(frozen=True)
class Trend:
    """The slope of a series over its whole length, in the series' unit.

    Attributes:
        median: the series' median.
        growth: change from the first to the last sample, by the fitted line.
        low, high: interval of 95% of ``growth``.
    """

    median: float
    growth: float
    low: float
    high: float

    def exceeds(self, tolerated: float) -> bool:
        """Whether there is growth beyond chance, and more than ``tolerated``."""
        return self.low > 0 and self.growth > tolerated


def trend(at: Sequence[float], values: Sequence[float]) -> Trend:
    """Fit the line of Theil (1950) and Sen (1968): the median of the slopes between all pairs of samples.

    Args:
        at: when each sample was taken, increasing, at least 3 of them.
        values: the samples.
    """
    length = at[-1] - at[0]
    slope, _, low, high = (float(each) for each in theilslopes(values, at, 0.95))
    return Trend(float(np.median(values)), slope * length, low * length, high * length)
