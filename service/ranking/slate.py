"""The list under construction."""

from __future__ import annotations

from typing import NamedTuple


class Slate(NamedTuple):
    """Rows of the catalogue, best first; lists instead of arrays, because the answer is written item by item.

    Attributes:
        rows: C rows.
        scores: C scores.
        propensities: C probabilities of showing the rows; None for a list without randomness.
    """

    rows: list[int]
    scores: list[float]
    propensities: list[float] | None = None
