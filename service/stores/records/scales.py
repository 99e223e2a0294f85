"""The scales of a user's events and their sums, as JSON values at the end of a record.

scales           [[kind, low, high, liked], …], distinct; null is the scale of events older than scales
scale numbers    index of the scale, per event; null if all events share one scale
earlier          sum of the counts in other events about the item, per event; null if all are 0
sums             {item id: sum of the counts in all events about it} for seen items; null without sums
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Scale, scale_of
from service.core.values import UserRecord, zero_sums


class Scales(NamedTuple):
    """Scale and ``earlier`` of each event, and the ``sums`` of a record."""

    by_event: tuple[Scale | None, ...]
    earlier: NDArray[np.float64]
    sums: Mapping[str, float]


def encode_scales(record: UserRecord) -> tuple[Any, Any, Any, Any]:
    """The four values as :func:`orjson.dumps` takes them."""
    events, numbers = record.events, None
    scales = list(events.scales[:1])
    if events.scales.count(events.scales[0] if scales else None) < len(events):
        scales = list(dict.fromkeys(events.scales))
        numbers = [scales.index(scale) for scale in events.scales]
    stored = [None if scale is None else tuple(scale) for scale in scales]  # orjson refuses named tuples
    earlier = events.earlier.tolist() if np.count_nonzero(events.earlier) else None
    return stored, numbers, earlier, record.sums or None


def decode_scales(encoded: Sequence[Any], size: int) -> Scales:
    """The scales of ``size`` events, and the sums; None and 0 for a record that ends before the four values.

    Raises:
        ValueError: the values belong to another number of events.
    """
    if not encoded:
        return Scales((None,) * size, zero_sums(size), {})
    stored, numbers, earlier, sums = encoded
    scales = [None if scale is None else scale_of(*scale) for scale in stored]
    if (numbers is not None and len(numbers) != size) or (earlier is not None and len(earlier) != size):
        raise ValueError(f"scales of a record: {len(stored)}, expected one per event ({size})")
    by_event = tuple(scales[:1]) * size if numbers is None else tuple(scales[number] for number in numbers)
    if len(by_event) != size:
        raise ValueError(f"scales of a record: none, expected one per event ({size})")
    return Scales(by_event, zero_sums(size) if earlier is None else np.array(earlier, dtype=np.float64), sums or {})
