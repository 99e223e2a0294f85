"""Rows of the catalogue that a list may hold: the dense counterpart of biases, for filters and availability."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Longest list fetched to be filtered afterwards: in rows, and as a share of a large catalogue. Longer lists cost more
# than scores of the allowed rows alone.
OVERFETCHED_ROWS = 500
MAX_OVERFETCH = 1 / 500


class AllowedRows:
    """A mask of the catalogue. Make it once per filter, and use it for any number of requests.

    Attributes:
        mask: bool (n_items,), whether a row may be in the list.
        count: number of allowed rows.
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask, self.count = mask, int(np.count_nonzero(mask))

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The allowed rows, int64 (count,), increasing."""
        return np.flatnonzero(self.mask)

    @cached_property
    def excluded(self) -> NDArray[np.int64]:
        """All other rows, int64 (n_items − count,), increasing."""
        return np.flatnonzero(~self.mask)

    def overfetch(self, count: int) -> int | None:
        """Length of an unmasked list that very likely holds ``count`` allowed rows; None if it would be too long.

        Three standard deviations above the mean of a list in which rows are allowed at random.
        """
        share = self.count / len(self.mask)
        if not share:
            return None
        length = math.ceil((count + 3 * math.sqrt(count * (1 - share)) + 1) / share)
        return length if length <= max(count, OVERFETCHED_ROWS, len(self.mask) * MAX_OVERFETCH) else None
