"""The figures of the MeLU protocol as a table for a terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from model_store.reports.tables import plain_table
from model_store.studies.ratings.quadrants import QUADRANTS

ABSENT = "-"
HEADINGS = {"mae": "MAE", "ndcg@1": "NDCG@1", "ndcg@3": "NDCG@3", "ndcg@5": "NDCG@5"}


def rating_table(results: dict[str, Any]) -> Table:
    """One column a quadrant, one section a metric, one row a model; the best of our own of each column is bold.

    What was published elsewhere follows the models in the section of its metric.

    Args:
        results: what ``evaluate_ratings`` returns.
    """
    users = results["protocol"]["users"]
    table = plain_table(_caption(results))
    table.add_column("", no_wrap=True)
    for quadrant in QUADRANTS:
        table.add_column(f"{quadrant}\n{users[quadrant]:,} users", justify="right")
    for metric, heading in HEADINGS.items():
        table.add_section()
        table.add_row(Text(heading, style="bold"))
        _add_models(table, results, metric)
    return table


def _add_models(table: Table, results: dict[str, Any], metric: str) -> None:
    best = {quadrant: _best(results["models"], quadrant, metric) for quadrant in QUADRANTS}
    for name, figures in results["models"].items():
        cells = (_cell(figures, quadrant, metric, best[quadrant]) for quadrant in QUADRANTS)
        table.add_row(Text(f"  {name}"), *cells)
    for name, figures in results["published"].items():
        cells = (_cell(figures, quadrant, metric, None, digits=2) for quadrant in QUADRANTS)
        if metric in figures[QUADRANTS[0]]:
            table.add_row(Text(f"  {name}", style="dim"), *cells)


def _best(models: dict[str, Any], quadrant: str, metric: str) -> float | None:
    found = [figures[quadrant][metric] for figures in models.values() if quadrant in figures]
    return (min if metric == "mae" else max)(found, default=None)


def _cell(figures: dict[str, Any], quadrant: str, metric: str, best: float | None, digits: int = 4) -> Text:
    if quadrant not in figures:
        return Text(ABSENT)
    value = figures[quadrant][metric]
    return Text(f"{value:.{digits}f}", style="bold" if value == best else "")


def _caption(results: dict[str, Any]) -> str:
    protocol = results["protocol"]
    low, high = protocol["ratings"]
    return (
        f"Users with {low} to {high} ratings of a quadrant's items: the last {protocol['query']} in "
        f"{protocol['order']} order are predicted from the others.\n"
        f"New items: {protocol['new_items']['count']:,} of {protocol['items']:,} ({protocol['new_items']['rule']}). "
        "Nothing of new users or new items, and no rating that is predicted, was in training."
    )
