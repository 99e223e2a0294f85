"""From a user's kept events to the arrays that the model reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import UNKNOWN_ROW, Scale, padded
from service.core.values import Events

SECONDS_PER_DAY = 86_400.0


class Support(NamedTuple):
    """The events that a bundle can adapt from, most recent last.

    Attributes:
        rows: int64 (S,), rows of the catalogue.
        values: float32 (S,), on the bundle's scale.
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


def support_of(events: Events, rows: NDArray[np.int64], scale: Scale, max_support: int) -> Support:
    """The support from a user's events, oldest first by time; among events of one time in their order of arrival.

    Events are left out whose item the catalogue lacks, or whose value has no counterpart on the bundle's scale.

    Args:
        events: as the record holds them.
        rows: int64 (S,), row of each event's item in the catalogue, ``UNKNOWN_ROW`` where it lacks the item.
        scale: the bundle's.
        max_support: the bundle's limit; the latest events are taken.
    """
    values, timestamps = events.values_on(scale), events.timestamps
    times: list[float] = timestamps.tolist()
    unread = values is not events.values and bool(np.isnan(values).any())
    if unread or len(rows) > max_support or UNKNOWN_ROW in rows.tolist() or times != sorted(times):
        readable = np.flatnonzero((rows != UNKNOWN_ROW) & ~np.isnan(values))
        latest = readable[np.argsort(timestamps[readable], kind="stable")][-max_support:]
        rows, values, timestamps = rows[latest], values[latest], timestamps[latest]
        times = timestamps.tolist()
    if not times:
        return NO_SUPPORT
    ages = ((times[-1] - timestamps) / SECONDS_PER_DAY).astype(np.float32)
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
