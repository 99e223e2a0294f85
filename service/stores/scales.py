"""The scales of a user's events, as JSON values at the end of a record.

scales           [[kind, low, high, liked], …], each once; null for the scale of events kept before scales were
scale numbers    for each event the index of its scale; null where there is one scale
earlier          sum of the counts in other events about the item, per event; null where all are 0
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Scale, scale_of
from service.core.values import Events, no_sums


def encode_scales(events: Events) -> tuple[Any, Any, Any]:
    """The three values, for :func:`orjson.dumps`."""
    scales, numbers = list(events.scales[:1]), None
    if events.scales.count(events.scales[0] if scales else None) < len(events):
        scales = list(dict.fromkeys(events.scales))
        numbers = [scales.index(scale) for scale in events.scales]
    stored = [None if scale is None else tuple(scale) for scale in scales]  # orjson refuses named tuples
    return stored, numbers, events.earlier.tolist() if np.count_nonzero(events.earlier) else None


def decode_scales(encoded: Sequence[Any], size: int) -> tuple[tuple[Scale | None, ...], NDArray[np.float64]]:
    """Scale and ``earlier`` of ``size`` events; of a record that ends before the three values, None and 0.

    Raises:
        ValueError: these are not the values of so many events.
    """
    if not encoded or not size:
        return (None,) * size, no_sums(size)
    stored, numbers, sums = encoded
    scales = [None if scale is None else scale_of(*scale) for scale in stored]
    if (numbers is not None and len(numbers) != size) or (sums is not None and len(sums) != size):
        raise ValueError(f"scales of a record: {len(stored)}, expected those of {size} events")
    by_event = (scales[0],) * size if numbers is None else tuple(scales[number] for number in numbers)
    return by_event, no_sums(size) if sums is None else np.array(sums, dtype=np.float64)
