"""A user's stored events as the bundle's support."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import UNKNOWN_ROW, Scale, UserSupport
from service.core.values import Events


def support_of(events: Events, rows: NDArray[np.int64], scale: Scale, max_support: int) -> UserSupport:
    """The support from a user's events; among events of one time, in their order of arrival.

    Events are left out if the catalogue lacks their item, or if their value has no counterpart on the bundle's scale.

    Args:
        events: events of the user's record.
        rows: int64 (S,), row of each event's item in the catalogue, ``UNKNOWN_ROW`` where it lacks the item.
        scale: scale of the bundle.
        max_support: number of events to keep, the most recent ones.
    """
    values, times = events.values_on(scale), events.timestamps
    lacks_values = values is not events.values and bool(np.isnan(values).any())
    if lacks_values or UNKNOWN_ROW in rows.tolist():
        usable = (rows != UNKNOWN_ROW) & ~np.isnan(values)
        rows, values, times = rows[usable], values[usable], times[usable]
    return UserSupport.encode(rows, values, times, max_support)
