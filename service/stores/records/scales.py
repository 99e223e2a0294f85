"""The scales of a user's events and their sums, as JSON values at the end of a record.

scales           [[kind, low, high, liked], …], each once; null for the scale of events kept before scales were
scale numbers    for each event the index of its scale; null where there is one scale
earlier          sum of the counts in other events about the item, per event; null where all are 0
sums             {item id: sum of the counts in all events about it} of items beyond the events; null for none
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Scale, scale_of
from service.core.values import UserRecord, no_sums


class Scales(NamedTuple):
    """Scale and ``earlier`` of each event, and the ``sums`` of a record."""

    by_event: tuple[Scale | None, ...]
    earlier: NDArray[np.float64]
    sums: Mapping[str, float]


def encode_scales(record: UserRecord) -> tuple[Any, Any, Any, Any]:
    """The four values, for :func:`orjson.dumps`."""
    events, numbers = record.events, None
    scales = list(events.scales[:1])
    if events.scales.count(events.scales[0] if scales else None) < len(events):
        scales = list(dict.fromkeys(events.scales))
        numbers = [scales.index(scale) for scale in events.scales]
    stored = [None if scale is None else tuple(scale) for scale in scales]  # orjson refuses named tuples
    earlier = events.earlier.tolist() if np.count_nonzero(events.earlier) else None
    return stored, numbers, earlier, record.sums or None


def decode_scales(encoded: Sequence[Any], size: int) -> Scales:
    """The scales of ``size`` events and the sums; of a record that ends before the four values, None and 0.

    Raises:
        ValueError: these are not the values of so many events.
    """
    if not encoded:
        return Scales((None,) * size, no_sums(size), {})
    stored, numbers, earlier, sums = encoded
    scales = [None if scale is None else scale_of(*scale) for scale in stored]
    if (numbers is not None and len(numbers) != size) or (earlier is not None and len(earlier) != size):
        raise ValueError(f"scales of a record: {len(stored)}, expected those of {size} events")
    by_event = tuple(scales[:1]) * size if numbers is None else tuple(scales[number] for number in numbers)
    if len(by_event) != size:
        raise ValueError(f"scales of a record: none, expected those of {size} events")
    return Scales(by_event, no_sums(size) if earlier is None else np.array(earlier, dtype=np.float64), sums or {})
