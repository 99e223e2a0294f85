"""Algorithms side by side, as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from model_store.evaluation.protocol import HEADLINE
from model_store.reports.tables import relative_difference

TITLES = {"whole": "as it serves", "dense": "adapted weights alone, without memories and calibration"}


def algorithm_table(results: dict[str, Any]) -> Group:
    """Two tables, of the whole models and of their dense parts; ``results`` as ``contest.compare`` gives them."""
    return Group(*(_table(results, part) for part in TITLES), Text(_caption(results)))


def _table(results: dict[str, Any], part: str) -> Table:
    """A row an algorithm, a column a k, best bold and named below; then the differences to the reference."""
    models, shots = results[part]["models"], [str(k) for k in results["protocol"]["shots"]]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=TITLES[part], title_justify="left")
    table.add_column(HEADLINE.upper(), no_wrap=True)
    for k in shots:
        table.add_column(f"k={k}", justify="right", no_wrap=True)
    table.add_column("train s", justify="right", no_wrap=True)
    best = {k: max(models, key=lambda name: float(models[name][k][HEADLINE])) for k in shots}
    for name, by_shots in models.items():
        figures = (_figure(by_shots[k], is_best=best[k] == name) for k in shots)
        table.add_row(name, *figures, f"{results['training'][name]['seconds']:.0f}")
    table.add_row("best", *best.values(), "")
    table.add_section()
    # The reference is named once: with it in every row the table would not fit 80 columns.
    table.add_row(f"vs {results['reference']}")
    for name, compared in results[part]["against_reference"].items():
        table.add_row(name, *(relative_difference(compared[k]) for k in shots), "")
    return table


def _figure(figures: dict[str, Any], *, is_best: bool) -> Text:
    """The mean and half the width of its 95% interval in the last digits, like .441±12."""
    low, high = figures[f"{HEADLINE} interval"]
    text = f"{figures[HEADLINE]:.3f}±{500 * (high - low):.0f}".removeprefix("0")
    return Text(text, style="bold" if is_best else "")


def _caption(results: dict[str, Any]) -> str:
    protocol = results["protocol"]
    return (
        f"{protocol['users']:,} test users, all {protocol['items']:,} items ranked; ±12 is .012, half the 95% "
        f"interval. Support: the first k events in {protocol['order']} order.\n"
        f"Query: what they liked after event {protocol['query_after']}. "
        "* the 95% interval of the paired difference excludes 0"
    )
