"""Tables for a terminal: k-shot figures, ablations, and algorithms side by side."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from model_store.errors import ReportInvalid
from model_store.evaluation.figures import HEADLINE, MODEL, Difference, Figure, KShotFigures
from model_store.reports.results import ContestPart, ContestResults, KShotResults, Protocol

ABSENT = "-"
ABLATION_METRICS = (HEADLINE, "ndcg-tail@10", "coverage@10")
ABLATIONS = "The model without a part, with one part alone beside popularity, or trained another way."
SIGNIFICANT = "* the 95% interval of the paired difference excludes 0"


def plain_table(caption: str) -> Table:
    """An empty table in the style of all tables here, with its explanation below."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left", caption_style="none")


def kshot_table(results: KShotResults, metric: str = HEADLINE) -> Table:
    """One metric: a row per model, a column per k, the best of each column bold.

    The last row of the headline metric is the relative difference of the model to the best baseline at each k, with a
    star if the paired 95% interval excludes 0; it is left out if there are no baselines.

    Args:
        results: with models and their protocol.
        metric: a metric that the results have.

    Raises:
        ReportInvalid: the results have no protocol.
    """
    protocol, differences = _protocol(results), results.best_baseline
    n_items = protocol.items or (results.data.n_items if results.data else 0)
    caption = protocol.caption or _caption(protocol, n_items)
    table = _metric_table(results.models, metric, f"{caption}\n{SIGNIFICANT}" if differences else caption)
    if differences and metric == HEADLINE:
        table.add_section()
        table.add_row(f"{MODEL} vs best", *(relative_difference(differences[k]) for k in protocol.shots))
    return table


def ablation_tables(results: KShotResults) -> Iterator[Table]:
    """One table per metric, one row per variant; none without ablations."""
    variants = results.ablations
    figures = next(iter(variants[MODEL].values())) if variants else {}
    for metric in ABLATION_METRICS:
        if metric in figures:
            yield _metric_table(variants, metric, ABLATIONS)


def _metric_table(models: dict[str, KShotFigures], metric: str, caption: str) -> Table:
    shots = list(next(iter(models.values())))
    table = plain_table(caption)
    table.add_column(metric.upper())
    for k in shots:
        table.add_column(f"k={k}", justify="right")
    best = {k: max(by_shots[k][metric].mean for by_shots in models.values()) for k in shots}
    for name, by_shots in models.items():
        # Text, because a name in brackets would be read as markup.
        table.add_row(Text(name), *(_figure(by_shots[k][metric].mean, best[k]) for k in shots))
    return table


def relative_difference(compared: Difference) -> str:
    """A difference as text: "+4.2% *", the star if the paired interval excludes 0."""
    if not compared.reference:
        return ABSENT
    star = " *" if compared.is_significant else ""
    return f"{compared.difference / compared.reference:+.1%}{star}"


def algorithm_table(results: ContestResults) -> Group:
    """Two tables: the whole models, and their dense parts."""
    whole = _contest_table(results, results.whole, "as it serves")
    dense = _contest_table(results, results.dense, "adapted weights alone, without memories and calibration")
    protocol = results.protocol
    caption = (
        f"{protocol.users:,} test users, all {protocol.items:,} items ranked; ±12 is .012, half the 95% interval. "
        f"Support: the first k events in {protocol.order} order.\n"
        f"Query: what they liked after event {protocol.query_after}. {SIGNIFICANT}"
    )
    return Group(whole, dense, Text(caption))


def _contest_table(results: ContestResults, part: ContestPart, title: str) -> Table:
    """A row per algorithm, a column per k, the best bold and named below; then the differences to the reference."""
    shots, models = results.protocol.shots, part.models
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left")
    table.add_column(HEADLINE.upper(), no_wrap=True)
    for k in shots:
        table.add_column(f"k={k}", justify="right", no_wrap=True)
    table.add_column("train s", justify="right", no_wrap=True)
    best = {k: max(models, key=lambda name: models[name][k][HEADLINE].mean) for k in shots}
    for name, by_shots in models.items():
        figures = (_short_figure(by_shots[k][HEADLINE], is_best=best[k] == name) for k in shots)
        table.add_row(name, *figures, f"{results.training[name].seconds:.0f}")
    table.add_row("best", *best.values(), "")
    table.add_section()
    # The reference is named once: in every row it would make the table wider than 80 columns.
    table.add_row(f"vs {results.reference}")
    for name, differences in part.against_reference.items():
        table.add_row(name, *(relative_difference(differences[k]) for k in shots), "")
    return table


def _short_figure(figure: Figure, *, is_best: bool) -> Text:
    """The mean and half the width of its 95% interval in the last digits, like .441±12."""
    low, high = figure.interval or (figure.mean, figure.mean)
    text = f"{figure.mean:.3f}±{500 * (high - low):.0f}".removeprefix("0")
    return Text(text, style="bold" if is_best else "")


def _figure(value: float, best: float) -> Text:
    return Text(f"{value:.4f}", style="bold" if value == best else "")


def _protocol(results: KShotResults) -> Protocol:
    if results.protocol is None:
        raise ReportInvalid("no protocol in these results, expected those of kshot train or kshot evaluate")
    return results.protocol


def _caption(protocol: Protocol, n_items: int) -> str:
    splits = f" of {protocol.splits} splits" if protocol.splits > 1 else ""
    return (
        f"{protocol.users:,} test users{splits}, all {n_items:,} items ranked. Support: the first k events in "
        f"{protocol.order} order. Query: what they liked after event {protocol.query_after}."
    )
