"""Charts as SVG: drawn by hand in a few kilobytes, with colours that follow the page from light to dark.

``chart.svg.j2`` has all markup, so text is escaped in one place. :func:`line_chart` and :func:`histogram` return
drawings for a page that has :func:`style`; :func:`k_shot_curve` returns a file by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from markupsafe import Markup

from model_store.errors import ReportInvalid
from model_store.evaluation.figures import HEADLINE, Figure, Interval, KShotFigures
from model_store.reports.results import KShotResults
from model_store.reports.templates import template

K_AXIS = "k, events of the user (log scale)"


class Frame(NamedTuple):
    """Size of a drawing and position of its axes, in SVG units."""

    width: float = 400.0
    height: float = 240.0
    x_start: float = 44.0
    x_end: float = 392.0
    y_top: float = 12.0
    y_bottom: float = 200.0


ON_PAGE = Frame()
ALONE = Frame(width=720.0, height=380.0, x_start=56.0, x_end=560.0, y_top=48.0, y_bottom=330.0)


@dataclass(frozen=True)
class Point:
    """A point of a line, its 95% interval, and the text shown on hover."""

    x: float
    y: float
    title: str
    interval: Interval | None = None


@dataclass(frozen=True)
class Line:
    """A named series, points by increasing x."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class LineChart:
    """Lines over a shared x axis.

    Attributes:
        title: meaning of y.
        x_title: meaning of x.
        x_ticks: label and position on the x axis.
        lines: the series; the same order in several charts gives the same colours.
        mark: label and position of a vertical line, or None.
        frame: size.
    """

    title: str
    x_title: str
    x_ticks: list[tuple[str, float]]
    lines: list[Line]
    mark: tuple[str, float] | None = None
    frame: Frame = ON_PAGE

    @property
    def y_ticks(self) -> list[float]:
        """Round numbers from below all points and intervals to above them."""
        points = [point for line in self.lines for point in line.points]
        return ticks([value for point in points for value in (point.y, *(point.interval or ()))])

    def x(self, position: float) -> float:
        """SVG unit of ``position`` on the x axis."""
        positions = [point.x for line in self.lines for point in line.points]
        return _scale(position, min(positions), max(positions), self.frame.x_start + 8, self.frame.x_end - 8)

    def y(self, value: float) -> float:
        """SVG unit of ``value`` on the y axis."""
        y_ticks = self.y_ticks
        return _scale(value, y_ticks[0], y_ticks[-1], self.frame.y_bottom, self.frame.y_top)

    def path(self, line: Line) -> str:
        """The line's points for ``polyline``."""
        return self._positions([(point.x, point.y) for point in line.points])

    def band(self, line: Line) -> str:
        """Outline of the line's intervals for ``polygon``; "" if it has none."""
        intervals = [(point.x, *point.interval) for point in line.points if point.interval]
        return self._positions(
            [*((x, high) for x, _, high in intervals), *((x, low) for x, low, _ in reversed(intervals))]
        )

    def _positions(self, points: list[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)


@dataclass(frozen=True)
class Histogram:
    """Bars side by side: label and share of each, shares in 0 … 1."""

    title: str
    x_title: str
    bars: list[tuple[str, float]]
    frame: Frame = ON_PAGE

    # More labels would overlap.
    MAX_LABELS = 12

    @property
    def y_ticks(self) -> list[float]:
        """Round numbers from 0 to above the highest bar."""
        return ticks([0.0, *(share for _, share in self.bars)])

    @property
    def step(self) -> float:
        """Distance between bars in SVG units."""
        return (self.frame.x_end - self.frame.x_start) / len(self.bars)

    @property
    def label_every(self) -> int:
        """Bars per label."""
        return math.ceil(len(self.bars) / self.MAX_LABELS)

    def y(self, share: float) -> float:
        """SVG unit of ``share`` on the y axis."""
        return _scale(share, 0, self.y_ticks[-1], self.frame.y_bottom, self.frame.y_top)


def line_chart(chart: LineChart) -> Markup:
    """The chart as an ``svg`` element for a page with :func:`style`."""
    return _draw("line_chart", chart)


def histogram(chart: Histogram) -> Markup:
    """The histogram as an ``svg`` element for a page with :func:`style`."""
    return _draw("histogram", chart)


def style() -> Markup:
    """Style sheet of the charts, light and dark; the colours are variables that a page may use too."""
    return _draw("style")


def k_shot_curve(results: KShotResults, metric: str = HEADLINE) -> str:
    """An SVG file by itself: one metric over k, a line per model, readable in light and dark.

    Only the first model has its 95% interval: the baselines' would cover one another.

    Args:
        results: of ``kshot train`` or ``kshot evaluate``, e.g. ``KShotResults.read`` of a bundle's ``report.json``.
        metric: a metric that the results have.

    Raises:
        ReportInvalid: the results have no such metric.
    """
    if any(metric not in figures for by_shots in results.models.values() for figures in by_shots.values()):
        raise ReportInvalid(f"metric {metric!r}: not in these results, expected one such as {HEADLINE!r}")
    if not results.models:
        raise ReportInvalid("no models in these results, expected those of kshot train or kshot evaluate")
    chart = metric_chart(results.models, metric, ALONE)
    baselines = [Line(line.name, [replace(point, interval=None) for point in line.points]) for line in chart.lines[1:]]
    return str(_draw("file", replace(chart, lines=[chart.lines[0], *baselines])))


def metric_chart(models: dict[str, KShotFigures], metric: str, frame: Frame = ON_PAGE) -> LineChart:
    """One metric over k, a line per model."""
    shots = list(next(iter(models.values())))
    lines = [
        Line(name, [shot_point(f"{name}, k = {k}", k, by_shots[k][metric]) for k in shots])
        for name, by_shots in models.items()
    ]
    return LineChart(metric_title(metric), K_AXIS, shot_ticks(shots), lines, frame=frame)


def metric_title(metric: str) -> str:
    """Name of a metric as a heading."""
    return metric.upper() if metric.startswith(("ndcg", "hr", "mrr")) else metric.capitalize()


def shot_point(label: str, k: int, figure: Figure) -> Point:
    """A figure at ``k``, with its value and interval in the text on hover."""
    interval = f" {interval_text(figure.interval)}" if figure.interval else ""
    return Point(math.log1p(k), figure.mean, f"{label}: {figure.mean:.4f}{interval}", figure.interval)


def shot_ticks(shots: Sequence[int]) -> list[tuple[str, float]]:
    """Labels and positions of the k on a log scale."""
    return [(str(k), math.log1p(k)) for k in shots]


def interval_text(interval: Interval) -> str:
    """An interval like "[0.401, 0.424]"."""
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def ticks(values: list[float]) -> list[float]:
    """At most six round numbers, evenly spaced, that enclose ``values``."""
    low, high = min(values), max(values)
    rough = ((high - low) or abs(high) or 1.0) / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    # Twelve digits are more than any tick has; they cut off 0.30000000000000004.
    return [round(index * step, 12) for index in range(first, last + 1)]


def _draw(macro: str, *arguments: Any) -> Markup:
    drawing: Markup = getattr(template("chart.svg.j2").module, macro)(*arguments)
    return drawing


def _scale(value: float, low: float, high: float, start: float, end: float) -> float:
    """Position of ``value`` if low … high is drawn from start to end; the middle if the range is empty."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(start + share * (end - start), 1)
