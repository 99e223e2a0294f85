"""From a user's kept events to the arrays that the model reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Support:
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


NO_SUPPORT = Support(
    np.zeros(1, dtype=np.int64),
    np.zeros(1, dtype=np.float32),
    np.zeros(1, dtype=np.float32),
    np.zeros(1, dtype=np.float32),
)


def support_of(
    rows: NDArray[np.int64], values: NDArray[np.float32], timestamps: NDArray[np.float64], max_support: int
) -> Support:
    """The support from a user's events, oldest first; events whose item the catalogue lacks (row −1) are left out."""
    known = np.flatnonzero(rows >= 0)[-max_support:]
    if not len(known):
        return NO_SUPPORT
    times = timestamps[known]
    ages = ((times.max() - times) / SECONDS_PER_DAY).astype(np.float32)
    return Support(rows[known], values[known], ages, np.ones(len(known), dtype=np.float32))
