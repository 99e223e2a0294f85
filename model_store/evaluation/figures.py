"""Figures of an evaluation: means over users with their intervals, and differences between models."""

from __future__ import annotations

from typing import NamedTuple

MODEL = "kshot"
HEADLINE = "ndcg@10"

Interval = tuple[float, float]
"""Lower and upper end of a 95% interval."""


class Figure(NamedTuple):
    """A metric's mean over users.

    Attributes:
        mean: the mean.
        interval: bootstrapped over users; None for a metric of all users together, such as coverage.
    """

    mean: float
    interval: Interval | None = None


class Difference(NamedTuple):
    """The headline metric of a model beside a reference, on the same users.

    Attributes:
        reference: mean of the reference.
        difference: mean of the model minus mean of the reference.
        interval: of the difference, by a bootstrap over paired users.
        name: the reference, where it differs from k to k; "" elsewhere.
    """

    reference: float
    difference: float
    interval: Interval
    name: str = ""

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        low, high = self.interval
        return low > 0 or high < 0


Figures = dict[str, Figure]
"""Metric → figure."""
KShotFigures = dict[int, Figures]
"""k → metric → figure."""
