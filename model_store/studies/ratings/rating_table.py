"""The figures of the MeLU protocol as a table for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from model_store.evaluation.figures import Figures
from model_store.reports.tables import ABSENT, plain_table
from model_store.studies.ratings.quadrants import QUADRANTS
from model_store.studies.ratings.results import RatingProtocol, RatingResults

HEADINGS = {"mae": "MAE", "ndcg@1": "NDCG@1", "ndcg@3": "NDCG@3", "ndcg@5": "NDCG@5"}


def rating_table(results: RatingResults) -> Table:
    """One column per quadrant, one section per metric, one row per model; the best model of each column is bold.

    Published figures follow the models in the section of their metric.
    """
    users = results.protocol.users
    table = plain_table(_caption(results.protocol))
    table.add_column("", no_wrap=True)
    for quadrant in QUADRANTS:
        table.add_column(f"{quadrant}\n{users[quadrant]:,} users", justify="right")
    for metric, heading in HEADINGS.items():
        table.add_section()
        table.add_row(Text(heading, style="bold"))
        _add_models(table, results, metric)
    return table


def _add_models(table: Table, results: RatingResults, metric: str) -> None:
    best = {quadrant: _best(results.models, quadrant, metric) for quadrant in QUADRANTS}
    for name, figures in results.models.items():
        cells = (_cell(figures, quadrant, metric, best[quadrant]) for quadrant in QUADRANTS)
        table.add_row(Text(f"  {name}"), *cells)
    for name, figures in results.published.items():
        cells = (_cell(figures, quadrant, metric, None, digits=2) for quadrant in QUADRANTS)
        if metric in figures[QUADRANTS[0]]:
            table.add_row(Text(f"  {name}", style="dim"), *cells)


def _best(models: dict[str, dict[str, Figures]], quadrant: str, metric: str) -> float | None:
    means = [figures[quadrant][metric].mean for figures in models.values() if quadrant in figures]
    return (min if metric == "mae" else max)(means, default=None)


def _cell(figures: dict[str, Figures], quadrant: str, metric: str, best: float | None, digits: int = 4) -> Text:
    if quadrant not in figures:
        return Text(ABSENT)
    value = figures[quadrant][metric].mean
    return Text(f"{value:.{digits}f}", style="bold" if value == best else "")


def _caption(protocol: RatingProtocol) -> str:
    least, most = protocol.ratings
    new = protocol.new_items
    return (
        f"Users with {least} to {most} ratings of a quadrant's items: the last {protocol.query} in {protocol.order} "
        f"order are predicted from the others.\nNew items: {new.count:,} of {protocol.items:,} ({new.rule}). Training "
        "read no rating of new users, of new items, or to be predicted."
    )
