"""The report of a training as one self-contained HTML page, with charts and tables of what ``report.json`` holds.

Numbers are chosen and formatted here; ``page.html.j2`` has all markup, so text is escaped in one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from model_store.baselines.grids import Tuning
from model_store.config import TrainingConfig
from model_store.data.summary import HistogramBar
from model_store.evaluation.figures import HEADLINE, MODEL, Difference, Figure, KShotFigures
from model_store.reports import charts
from model_store.reports.charts import Histogram, Line, LineChart, Point
from model_store.reports.results import Calibration, Epoch, KShotResults, Training
from model_store.reports.tables import ABLATION_METRICS, relative_difference
from model_store.reports.templates import template

# Metric → its meaning, in the order of the page.
METRICS = {
    HEADLINE: "order of the first 10 items, 1 is perfect",
    "recall@20": "share of the query among the first 20 items, of the most that 20 can hold",
    "hr@10": "share of users with a hit among the first 10 items",
    "mrr": "one over the rank of the first hit",
    "ndcg-tail@10": "NDCG@10 of the long tail by itself, without the head; users with a long-tail item in their query",
    "coverage@10": "share of the catalogue among the first 10 items of at least one user",
    "diversity@10": "mean of 1 − cosine between the content of two of the first 10 items",
    "novelty@10": "mean self-information of the first 10 items in bits; popular items have little",
    "long-tail@10": "share of the first 10 items outside the head, the fewest items that hold 80% of all likes",
}
# These describe lists without grading them, so no figure is the best.
DESCRIPTIVE = {"diversity@10", "novelty@10", "long-tail@10"}
HISTORY = {
    "loss": "Loss, nats per query item",
    "validation": f"Validation {charts.metric_title(HEADLINE)}, mean over k > 0",
    "query_entropy": "Entropy of the query items, nats",
}


class Cell(NamedTuple):
    """A figure of a table, a small note below it, and whether it is the best of its column."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of a heading and cells, below a heading per column."""

    caption: str
    head: list[str]
    rows: list[tuple[str, list[Cell]]]


class Plot(NamedTuple):
    """A drawing with its title, and a table of the same figures."""

    title: str
    drawing: Markup
    table: Table | None = None


def render(results: KShotResults) -> str:
    """The whole page as HTML, without scripts and external resources; the sections of absent results are left out."""
    models = results.models
    return template("page.html.j2").render(
        results=results,
        style=charts.style(),
        verdict=list(_verdict(results.best_baseline)),
        models=list(models),
        curves=list(_curves(models)) if models else [],
        difference=_difference(results.best_baseline) if results.best_baseline else None,
        ablations=_ablations(results.ablations),
        tuning=_tuning(results.baselines),
        training=_training(results.training) if results.training else None,
        values=_values(results.data.histogram) if results.data else None,
    )


def _verdict(differences: Mapping[int, Difference]) -> Iterator[str]:
    """Sentences that say at which k the model is ahead of the best baseline, behind it, or neither."""
    shots: dict[str, list[str]] = {"ahead of": [], "behind": [], "not distinguishable from": []}
    for k, difference in differences.items():
        if not difference.is_significant:
            shots["not distinguishable from"].append(str(k))
        else:
            shots["ahead of" if difference.difference > 0 else "behind"].append(str(k))
    for verdict, ks in shots.items():
        if ks:
            yield f"At k = {', '.join(ks)}, {MODEL} is {verdict} the best baseline."


def _curves(models: dict[str, KShotFigures]) -> Iterator[Plot]:
    """One plot per metric that the results have: diversity is absent if the items have no content."""
    figures = next(iter(models[MODEL].values()))
    for metric in METRICS:
        if metric in figures:
            chart = charts.metric_chart(models, metric)
            yield Plot(chart.title, charts.line_chart(chart), _metric_table(models, metric))


def _metric_table(models: dict[str, KShotFigures], metric: str) -> Table:
    """One metric over k, a row per model."""
    shots = list(models[MODEL])
    best = {
        k: max(by_shots[k][metric].mean for by_shots in models.values()) for k in shots if metric not in DESCRIPTIVE
    }
    rows = [(name, [_cell(by_shots[k][metric], best.get(k)) for k in shots]) for name, by_shots in models.items()]
    return Table(f"{charts.metric_title(metric)}: {METRICS[metric]}", _columns(shots), rows)


def _cell(figure: Figure, best: float | None) -> Cell:
    note = charts.interval_text(figure.interval) if figure.interval else ""
    return Cell(f"{figure.mean:.4f}", note, figure.mean == best)


def _columns(shots: list[int]) -> list[str]:
    return [f"k={k}" for k in shots]


def _difference(differences: Mapping[int, Difference]) -> Plot:
    """The paired difference to the best baseline over k."""
    title = f"{MODEL} minus the best baseline, {charts.metric_title(HEADLINE)}"
    points, rows = [], []
    for k, compared in differences.items():
        (low, high), point = compared.interval, charts.shot_point("", k, Figure(compared.difference))
        difference, spread = f"{compared.difference:+.4f}", f"[{low:+.4f}, {high:+.4f}]"
        points.append(Point(point.x, point.y, f"k = {k}: {difference} {spread}", compared.interval))
        baseline = Cell(compared.name, f"{compared.reference:.4f}")
        rows.append((f"k={k}", [baseline, Cell(difference, spread), Cell(relative_difference(compared))]))
    table = Table(f"{title}; * the interval excludes 0", ["best baseline", "difference", "relative"], rows)
    chart = LineChart(title, charts.K_AXIS, charts.shot_ticks(list(differences)), [Line("difference", points)])
    return Plot(title, charts.line_chart(chart), table)


def _ablations(variants: dict[str, KShotFigures]) -> list[Table]:
    """One table per metric, one row per variant."""
    figures = next(iter(variants[MODEL].values())) if variants else {}
    return [_metric_table(variants, metric) for metric in ABLATION_METRICS if metric in figures]


def _tuning(baselines: dict[str, Tuning]) -> Table | None:
    """Chosen hyperparameters of every baseline at each k, and the values tried; None if nothing was tuned."""
    rows: list[tuple[str, list[Cell]]] = []
    shots: list[int] = []
    for name, tuning in baselines.items():
        shots = list(tuning.choice) or shots
        for parameter, values in tuning.grid.items():
            tried = ", ".join(f"{value:g}" for value in values)
            chosen = [Cell(f"{tuning.choice[k][parameter]:g}") for k in shots]
            rows.append((f"{name}, {parameter} of {tried}", chosen))
    return Table("Chosen on the validation users", _columns(shots), rows) if rows else None


class TrainingSection(NamedTuple):
    """The section about a training.

    Attributes:
        plots: loss and validation score over epochs.
        history: every epoch.
        calibration: weights of the parts.
        config: name, value and meaning of each setting.
    """

    plots: list[Plot]
    history: Table
    calibration: Table
    config: list[tuple[str, object, str]]


def _training(training: Training) -> TrainingSection:
    history, best = training.history, training.best_epoch
    titles = {key: title for key, title in HISTORY.items() if getattr(history[0], key) is not None}
    rows = [
        (f"epoch {epoch.epoch}", [Cell(f"{getattr(epoch, key):.4f}", best=epoch.epoch == best) for key in titles])
        for epoch in history
    ]
    fields = TrainingConfig.model_fields
    return TrainingSection(
        [_epochs(history, key, title, best) for key, title in titles.items()],
        Table("The best epoch is bold; the bundle has its weights", list(titles.values()), rows),
        _calibration(training.calibration),
        [(name, value, (name in fields and fields[name].description) or "") for name, value in training.config.items()],
    )


def _calibration(calibration: Calibration) -> Table:
    """Weights of the parts at every k, and the validation users' headline metric before and after."""
    by_shots = calibration.shots
    rows = []
    for part in next(iter(by_shots.values())).weights if by_shots else ():
        title = calibration.parts.get(part, part)
        if part in calibration.regularisations:
            title += f", regularisation {calibration.regularisations[part]:g}"
        rows.append((title, [Cell(f"{calibrated.weights[part]:g}") for calibrated in by_shots.values()]))
    headline = charts.metric_title(HEADLINE)
    rows += [
        (f"validation {headline} before", [Cell(f"{calibrated.before:.4f}") for calibrated in by_shots.values()]),
        (f"validation {headline} after", [Cell(f"{calibrated.after:.4f}") for calibrated in by_shots.values()]),
    ]
    return Table("Weights of the parts of the score, chosen on the validation users", _columns(list(by_shots)), rows)


def _epochs(history: tuple[Epoch, ...], key: str, title: str, best: int) -> Plot:
    values = {epoch.epoch: float(getattr(epoch, key)) for epoch in history}
    points = [Point(epoch, value, f"epoch {epoch}: {value:.4f}") for epoch, value in values.items()]
    last = len(points)
    ticks = [(f"{tick:g}", tick) for tick in charts.ticks([1, last]) if 1 <= tick <= last and tick == int(tick)]
    return Plot(
        title, charts.line_chart(LineChart(title, "epoch", ticks, [Line(key, points)], (f"best: {best}", best)))
    )


def _values(histogram: tuple[HistogramBar, ...]) -> Plot | None:
    """Share of the events by value, as bars and as a table; None without events."""
    total = sum(bar.count for bar in histogram)
    if not total:
        return None
    labels = [" to ".join(dict.fromkeys((f"{bar.low:g}", f"{bar.high:g}"))) for bar in histogram]
    shares = [bar.count / total for bar in histogram]
    cells = [[Cell(f"{bar.count:,}"), Cell(f"{share:.1%}")] for bar, share in zip(histogram, shares, strict=True)]
    title = "Share of events by value"
    drawing = charts.histogram(Histogram(title, "value", list(zip(labels, shares, strict=True))))
    return Plot(title, drawing, Table("Events by value", ["events", "share"], list(zip(labels, cells, strict=True))))
