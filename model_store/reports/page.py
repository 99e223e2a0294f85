"""The report of an evaluation: one self-contained page out of what ``report.json`` holds.

Numbers are chosen and placed here; ``page.html.j2`` holds all markup, so escaping happens in one place.
The plots are drawn by hand: a few kilobytes of SVG whose colours follow the page from light to dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from model_store.config import TrainingConfig
from model_store.evaluation.ablation import METRICS as ABLATION_METRICS
from model_store.evaluation.comparison import MODEL
from model_store.evaluation.protocol import HEADLINE
from model_store.reports.tables import excludes_zero, relative_difference

Results = dict[str, Any]

# Metric → what it says, in the order of the page.
METRICS = {
    HEADLINE: "how well the ten places are ordered, 1 is perfect",
    "recall@20": "share of the query among the first 20, of what 20 places could hold",
    "hr@10": "share of users with a hit among the first 10",
    "mrr": "one over the rank of the first hit",
    "ndcg-tail@10": "NDCG@10 of the long tail by itself, without the head; users who like anything there",
    "coverage@10": "share of the catalogue that somebody sees among the first 10",
    "diversity@10": "mean of 1 − cosine between the content of two of the first 10 items",
    "novelty@10": "mean self-information of the first 10 items in bits; popular items say little",
    "long-tail@10": "share of the first 10 items outside the head, the fewest items that hold 80% of all likes",
}
# These describe lists without grading them, so that no figure is the best.
DESCRIPTIVE = {"diversity@10", "novelty@10", "long-tail@10"}

K_AXIS = "k, events of the user (log scale)"

# Where a plot's axes lie inside its drawing, in SVG units.
WIDTH, HEIGHT = 400.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 392.0, 12.0, 200.0


class Cell(NamedTuple):
    """A figure of a table, what stands small below it, and whether it is the best of its column."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of a heading and cells, below a heading for each column."""

    caption: str
    head: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Point:
    """A point of a line with its 95% interval, and what it says when pointed at."""

    x: float
    y: float
    says: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A named series, points by increasing x."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Chart:
    """Lines over a shared x axis.

    Attributes:
        title: what y is.
        x_title: what x is.
        x_ticks: label and place on the x axis.
        lines: the series; where there are several, the same order everywhere gives the same colours.
        mark: label and place of a vertical line, or None.
    """

    title: str
    x_title: str
    x_ticks: list[tuple[str, float]]
    lines: list[Line]
    mark: tuple[str, float] | None = None

    @property
    def y_ticks(self) -> list[float]:
        """Round numbers that reach from below everything drawn to above it."""
        return _ticks(
            [each for line in self.lines for point in line.points for each in (point.y, *(point.interval or ()))]
        )

    def x(self, place: float) -> float:
        """SVG unit of ``place`` on the x axis."""
        places = [point.x for line in self.lines for point in line.points]
        return _between(place, min(places), max(places), LEFT + 8, RIGHT - 8)

    def y(self, value: float) -> float:
        """SVG unit of ``value`` on the y axis."""
        ticks = self.y_ticks
        return _between(value, ticks[0], ticks[-1], BOTTOM, TOP)

    def path(self, line: Line) -> str:
        """The line's points for ``polyline``."""
        return self._places([(point.x, point.y) for point in line.points])

    def band(self, line: Line) -> str:
        """The outline of the line's intervals for ``polygon``; "" where it has none."""
        known = [(point.x, *point.interval) for point in line.points if point.interval]
        return self._places([*((x, high) for x, _, high in known), *((x, low) for x, low, _ in reversed(known))])

    def _places(self, points: list[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in points)


@dataclass(frozen=True)
class Histogram:
    """Bars side by side: label and share of each, shares in 0 … 1."""

    title: str
    x_title: str
    bars: list[tuple[str, float]]

    # Labels beyond this many would run into each other.
    MAX_LABELS = 12

    @property
    def y_ticks(self) -> list[float]:
        """Round numbers from 0 to above the highest bar."""
        return _ticks([0.0, *(share for _, share in self.bars)])

    @property
    def step(self) -> float:
        """Distance between bars in SVG units."""
        return (RIGHT - LEFT) / len(self.bars)

    @property
    def label_every(self) -> int:
        """Every how many bars one is labelled."""
        return math.ceil(len(self.bars) / self.MAX_LABELS)

    def y(self, share: float) -> float:
        """SVG unit of ``share`` on the y axis."""
        return _between(share, 0, self.y_ticks[-1], BOTTOM, TOP)


def render(results: Results) -> str:
    """The whole page as HTML, without script and without anything to fetch.

    Args:
        results: what ``report.json`` holds; the section of an absent key is left out.
    """
    environment = Environment(
        loader=PackageLoader("model_store.reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(width=WIDTH, height=HEIGHT, left=LEFT, right=RIGHT, top=TOP, bottom=BOTTOM)
    models, compared = results.get("models", {}), results.get("best_baseline", {})
    return environment.get_template("page.html.j2").render(
        results=results,
        verdict=list(_verdict(compared)),
        curves=list(_curves(models)) if models else [],
        difference=_difference(compared) if compared else None,
        ablations=_ablations(results.get("ablations", {})),
        tuning=_tuning(results.get("baselines", {})),
        training=_training(results["training"]) if "training" in results else None,
        values=_values(results.get("data", {}).get("histogram", [])),
    )


def _verdict(compared: Results) -> Iterator[str]:
    """Sentences that say at which k the model is ahead, behind, or neither."""
    ks: dict[str, list[str]] = {"ahead of": [], "behind": [], "not to be told from": []}
    for k, best in compared.items():
        place = "not to be told from"
        if excludes_zero(best["interval"]):
            place = "ahead of" if best["difference"] > 0 else "behind"
        ks[place].append(k)
    for place, at in ks.items():
        if at:
            yield f"At k = {', '.join(at)}, {MODEL} is {place} the best baseline."


def _curves(models: Results) -> Iterator[tuple[Chart, Table]]:
    """All metrics that were judged: content that items do not have cannot vary."""
    judged = next(iter(models[MODEL].values()))
    return (_curve(models, metric, meaning) for metric, meaning in METRICS.items() if metric in judged)


def _curve(models: Results, metric: str, meaning: str) -> tuple[Chart, Table]:
    """One metric over k, of all models."""
    shots, title = list(models[MODEL]), _title(metric)
    best = {k: max(by_shots[k][metric] for by_shots in models.values()) for k in shots if metric not in DESCRIPTIVE}
    lines, rows = [], []
    for name, by_shots in models.items():
        lines.append(Line(name, [_kshot_point(name, k, by_shots[k], metric) for k in shots]))
        rows.append((name, [_cell(by_shots[k], metric, best.get(k)) for k in shots]))
    table = Table(f"{title}: {meaning}", _columns(shots), rows)
    return Chart(title, K_AXIS, _shot_ticks(shots), lines), table


def _title(metric: str) -> str:
    return metric.upper() if metric.startswith(("ndcg", "hr", "mrr")) else metric.capitalize()


def _cell(judged: Results, metric: str, best: float | None) -> Cell:
    interval = _interval(judged, metric)
    return Cell(f"{judged[metric]:.4f}", _range(interval) if interval else "", judged[metric] == best)


def _kshot_point(name: str, k: str, judged: Results, metric: str) -> Point:
    interval = _interval(judged, metric)
    says = f"{name}, k = {k}: {judged[metric]:.4f}{' ' + _range(interval) if interval else ''}"
    return Point(_shot_place(k), judged[metric], says, interval)


def _interval(judged: Results, metric: str) -> tuple[float, float] | None:
    found = judged.get(f"{metric} interval")
    return (found[0], found[1]) if found else None


def _range(interval: tuple[float, float]) -> str:
    return f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def _columns(shots: list[str]) -> list[str]:
    return [f"k={k}" for k in shots]


def _shot_place(k: str) -> float:
    return math.log1p(int(k))


def _shot_ticks(shots: list[str]) -> list[tuple[str, float]]:
    return [(k, _shot_place(k)) for k in shots]


def _difference(compared: Results) -> tuple[Chart, Table]:
    """The paired difference to the best baseline over k."""
    shots, title = list(compared), f"{MODEL} minus the best baseline, {_title(HEADLINE)}"
    points, rows = [], []
    for k in shots:
        best = compared[k]
        low, high = best["interval"]
        difference, spread = f"{best['difference']:+.4f}", f"[{low:+.4f}, {high:+.4f}]"
        says = f"k = {k}: {difference} {spread}"
        points.append(Point(_shot_place(k), best["difference"], says, (low, high)))
        baseline = Cell(best["name"], f"{best[HEADLINE]:.4f}")
        rows.append((f"k={k}", [baseline, Cell(difference, spread), Cell(relative_difference(best))]))
    table = Table(f"{title}; * the interval excludes 0", ["best baseline", "difference", "relative"], rows)
    return Chart(title, K_AXIS, _shot_ticks(shots), [Line("difference", points)]), table


def _ablations(variants: Results) -> list[Table]:
    """One table a metric, one row a variant."""
    judged: Results = next(iter(variants.get(MODEL, {}).values()), {})
    return [_curve(variants, metric, METRICS[metric])[1] for metric in ABLATION_METRICS if metric in judged]


def _tuning(baselines: Results) -> Table | None:
    """What every baseline was tuned to at each k, and out of what; None where nothing was."""
    rows: list[tuple[str, list[Cell]]] = []
    shots: list[str] = []
    for name, tuned in baselines.items():
        choice = tuned["choice"]
        shots = list(choice) or shots
        for parameter, values in tuned["grid"].items():
            tried = ", ".join(f"{value:g}" for value in values)
            rows.append((f"{name}, {parameter} of {tried}", [Cell(f"{choice[k][parameter]:g}") for k in shots]))
    return Table("Chosen on the validation users", _columns(shots), rows) if rows else None


def _training(training: Results) -> dict[str, Any]:
    """Charts of loss and validation, every epoch as a table, and the configuration with its meanings."""
    history, best = training["history"], training["best_epoch"]
    titles = {
        "loss": "Loss, nats per query item",
        "validation": f"Validation {_title(HEADLINE)}, mean over k > 0",
        "query_entropy": "Entropy of the query items, nats",
    }
    titles = {key: title for key, title in titles.items() if key in history[0]}
    rows = [
        (f"epoch {row['epoch']:g}", [Cell(f"{row[key]:.4f}", best=row["epoch"] == best) for key in titles])
        for row in history
    ]
    fields = TrainingConfig.model_fields
    return {
        "charts": [_epochs(history, key, title, best) for key, title in titles.items()],
        "history": Table("The best epoch is bold; its weights are the bundle's", list(titles.values()), rows),
        "calibration": _calibration(training["calibration"]),
        "config": [(name, value, fields[name].description) for name, value in training["config"].items()],
    }


def _calibration(calibration: Results) -> Table:
    """The shares of the parts at every k, and what validation users say of them."""
    by_shots, regularisation = calibration["shots"], calibration["regularisation"]
    shares = {
        "dense part": "dense",
        "votes": "votes",
        f"linear memory{f', regularisation {regularisation:g}' if regularisation else ''}": "linear",
    }
    rows = [(name, [Cell(f"{row[key]:g}") for row in by_shots.values()]) for name, key in shares.items()]
    for when in ("before", "after"):
        name = f"validation {_title(HEADLINE)} {when}"
        rows.append((name, [Cell(f"{row[when]:.4f}") for row in by_shots.values()]))
    return Table("Shares of the parts of the score, chosen on the validation users", _columns(list(by_shots)), rows)


def _epochs(history: list[Results], key: str, title: str, best: int) -> Chart:
    points = [Point(row["epoch"], row[key], f"epoch {row['epoch']:g}: {row[key]:.4f}") for row in history]
    last = len(points)
    ticks = [(f"{tick:g}", tick) for tick in _ticks([1, last]) if 1 <= tick <= last and tick == int(tick)]
    return Chart(title, "epoch", ticks, [Line(key, points)], (f"best: {best}", best))


def _values(histogram: list[Results]) -> tuple[Histogram, Table] | None:
    """Share of the events by value, as bars and as a table; None where the data says nothing of it."""
    total = sum(row["count"] for row in histogram)
    if not total:
        return None
    labels = [" to ".join(dict.fromkeys((f"{row['low']:g}", f"{row['high']:g}"))) for row in histogram]
    bars = [(label, row["count"] / total) for label, row in zip(labels, histogram, strict=True)]
    rows = [
        (label, [Cell(f"{row['count']:,}"), Cell(f"{share:.1%}")])
        for (label, share), row in zip(bars, histogram, strict=True)
    ]
    title = "Share of events by value"
    return Histogram(title, "value", bars), Table("Events by value", ["events", "share"], rows)


def _ticks(values: list[float]) -> list[float]:
    """At most six round numbers, evenly spaced, that enclose ``values``."""
    low, high = min(values), max(values)
    rough = ((high - low) or abs(high) or 1.0) / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(each * magnitude for each in (1, 2, 2.5, 5, 10) if each * magnitude >= rough)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    # Twelve digits are more than any tick has; they cut off 0.30000000000000004.
    return [round(each * step, 12) for each in range(first, last + 1)]


def _between(value: float, low: float, high: float, start: float, end: float) -> float:
    """Where ``value`` stands if low … high is drawn from start to end; the middle of an empty range."""
    share = (value - low) / (high - low) if high > low else 0.5
    return round(start + share * (end - start), 1)
