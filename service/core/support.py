"""From a user's kept events to the arrays that the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import UNKNOWN_ROW, padded

SECONDS_PER_DAY = 86_400.0


class Support(NamedTuple):
    """The events that a bundle can adapt from, most recent last.

    Attributes:
        rows: int64 (S,), rows of the catalogue.
        values: float32 (S,), on the data's own scale.
        ages: float32 (S,), days before the most recent of them: a function of the events alone, so that a replay
            gives the same bytes whenever it happens.
        mask: float32 (S,), all ones, but for the one masked place that stands for no events.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    ages: NDArray[np.float32]
    mask: NDArray[np.float32]

    @property
    def shots(self) -> float:
        """Number of events, k."""
        return float(self.mask[0]) * len(self.rows)


NO_SUPPORT = Support(
    np.zeros(1, dtype=np.int64),
    np.zeros(1, dtype=np.float32),
    np.zeros(1, dtype=np.float32),
    np.zeros(1, dtype=np.float32),
)


def support_of(
    rows: NDArray[np.int64], values: NDArray[np.float32], timestamps: NDArray[np.float64], max_support: int
) -> Support:
    """The support from a user's events, oldest first; events whose item the catalogue lacks are left out."""
    if len(rows) > max_support or UNKNOWN_ROW in rows.tolist():
        known = np.flatnonzero(rows != UNKNOWN_ROW)[-max_support:]
        rows, values, timestamps = rows[known], values[known], timestamps[known]
    if not len(rows):
        return NO_SUPPORT
    # Of few numbers Python finds the largest several times faster than numpy.
    ages = ((max(timestamps.tolist()) - timestamps) / SECONDS_PER_DAY).astype(np.float32)
    return Support(rows, values, ages, _ones(len(rows)))


def side_by_side(supports: Sequence[Support]) -> Support:
    """The supports of B users as the rows (B, S) of one, padded and masked as ``adapt.onnx`` takes them."""
    return Support(
        padded([each.rows for each in supports]),
        padded([each.values for each in supports]),
        padded([each.ages for each in supports]),
        padded([each.mask for each in supports]),
    )


@lru_cache(1024)
def _ones(count: int) -> NDArray[np.float32]:
    ones = np.ones(count, dtype=np.float32)
    ones.flags.writeable = False
    return ones
