"""Quantile bins, bounded by values of the data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Bins(NamedTuple):
    """Bins as their lowest and highest values, both float64 (n_bins,) and increasing."""

    lows: NDArray[np.float64]
    highs: NDArray[np.float64]

    def assign(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bin index per value, int64 (n_values,): the last bin that starts at or below the value, else the first."""
        return np.maximum(np.searchsorted(self.lows, values, side="right") - 1, 0)


def quantile_bins(values: NDArray[np.float64], most: int) -> Bins:
    """Make at most ``most`` bins over finite ``values``: one bin per distinct value if these are few, else quantiles.

    ``values`` must not be empty.
    """
    levels = np.unique(values)
    if len(levels) <= most:
        return Bins(levels, levels)
    edges = np.quantile(values, np.linspace(0, 1, most + 1)[:-1])
    starts = np.unique(np.searchsorted(levels, edges))
    return Bins(levels[starts], levels[np.append(starts[1:], len(levels)) - 1])
