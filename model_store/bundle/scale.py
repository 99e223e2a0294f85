"""Scales of feedback values: conversion between two scales, and the value of repeated events.

Training and service follow one rule for several events of one user about one item:

| kind              | value of the pair                  | time of the pair           |
|-------------------|------------------------------------|----------------------------|
| ratings, clicks   | the latest event's                 | the latest event's         |
| counts            | the sum of all events' values      | the latest event's         |

The latest event is the one with the latest time. Among events with equal times it is the last one to arrive; in a
table, the last one in it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["ratings", "counts", "clicks"]
"""The kind of values in a data source."""


class Scale(NamedTuple):
    """A scale of feedback values.

    Attributes:
        kind: kind of the values.
        low: lowest value.
        high: highest value; larger counts are read as this one.
        liked: value from which an event counts as liked.
    """

    kind: Kind
    low: float
    high: float
    liked: float


@lru_cache(1024)
def scale_of(kind: Kind, low: float, high: float, liked: float) -> Scale:
    """A shared ``Scale`` per set of values, so that equal scales are compared by address."""
    return Scale(kind, low, high, liked)


def adds(kind: Kind) -> bool:
    """Whether the values of repeated events add up; if not, the latest event's value stands."""
    return kind == "counts"


def read_on(scale: Scale, values: NDArray[np.float64], origin: Scale) -> NDArray[np.float64]:
    """Convert ``values`` from the scale ``origin`` to ``scale``, float64 (S,).

    Ratings keep their position: the lowest, the liked and the highest value of ``origin`` become those of ``scale``,
    values between them are interpolated. Counts keep their value, up to the highest. Between kinds, a liked event
    becomes the liked value; other events become NaN, because a missing like does not mean a dislike.
    """
    if origin.kind != scale.kind:
        return np.where(values >= origin.liked, scale.liked, np.nan)
    if scale.kind != "ratings":
        return np.minimum(values, scale.high)
    if origin == scale:
        return values
    before, after = _landmarks(origin), _landmarks(scale)
    if len(before) == len(after):
        return np.interp(values, before, after)
    return np.interp(values, (origin.low, origin.high), (scale.low, scale.high))


def _landmarks(scale: Scale) -> list[float]:
    """Lowest, liked and highest value without repetitions, increasing."""
    return sorted({scale.low, scale.liked, scale.high})
