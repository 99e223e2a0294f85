"""Growth of a time series: slope with a confidence interval, robust against outliers, without a distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes


@dataclass(frozen=True)
class Trend:
    """Growth of a series over its whole length, in the series' unit.

    Attributes:
        median: median of the series.
        growth: change from the first to the last sample, by the fitted line.
        low, high: 95% confidence interval of ``growth``.
    """

    median: float
    growth: float
    low: float
    high: float

    def exceeds(self, tolerated: float) -> bool:
        """True for growth that is beyond chance and greater than ``tolerated``."""
        return self.low > 0 and self.growth > tolerated


def trend(times: Sequence[float], values: Sequence[float]) -> Trend:
    """Fit the line of Theil (1950) and Sen (1968): the median of the slopes between all pairs of samples.

    Args:
        times: times of the samples, increasing, at least 3.
        values: the samples.
    """
    length = times[-1] - times[0]
    slope, _, low, high = map(float, theilslopes(values, times, 0.95))
    return Trend(float(np.median(values)), slope * length, low * length, high * length)
