"""The k-shot figures as a table for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from model_store.evaluation.ablation import METRICS as ABLATION_METRICS
from model_store.evaluation.comparison import MODEL
from model_store.evaluation.protocol import HEADLINE

ABSENT = "-"


def plain_table(caption: str) -> Table:
    """An empty table as all of ours look, with its explanation below."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left", caption_style="none")


def kshot_table(results: dict[str, Any], metric: str = HEADLINE) -> Table:
    """One row a model, one column a k: one metric, best of each column bold.

    The last row of the headline metric is the relative difference of the model to the best baseline at each k, with a
    star where the paired 95% interval excludes 0; it is left out where there is no baseline.

    Args:
        results: what ``report.json`` holds; ``models`` and ``protocol`` at least.
        metric: which of the metrics at every k.
    """
    models, protocol = results["models"], results["protocol"]
    shots = [str(k) for k in protocol["shots"]]
    table = plain_table(_caption(results))
    table.add_column(metric.upper())
    for k in shots:
        table.add_column(f"k={k}", justify="right")
    best = {k: max(by_shots[k][metric] for by_shots in models.values()) for k in shots}
    for name, by_shots in models.items():
        # A name is data, not rich's markup.
        table.add_row(Text(name), *(_figure(by_shots[k][metric], best[k]) for k in shots))
    compared = results.get("best_baseline")
    if compared and metric == HEADLINE:
        table.add_section()
        table.add_row(f"{MODEL} vs best", *(relative_difference(compared[k]) for k in shots))
    return table


def ablation_tables(results: dict[str, Any]) -> Iterator[Table]:
    """One table a metric, one row a variant; nothing without ``ablations``."""
    variants = results.get("ablations", {})
    judged: dict[str, Any] = next(iter(variants.get(MODEL, {}).values()), {})
    protocol = {
        **results["protocol"],
        "caption": "The model without a part, with one part alone beside popularity, or trained another way.",
    }
    for metric in ABLATION_METRICS:
        if metric in judged:
            yield kshot_table({"models": variants, "protocol": protocol}, metric)


def relative_difference(compared: dict[str, Any]) -> str:
    """One k of ``best_baseline`` as text: "+4.2% *", the star where the paired interval excludes 0."""
    baseline = compared[HEADLINE]
    if not baseline:
        return ABSENT
    return f"{compared['difference'] / baseline:+.1%}{' *' if excludes_zero(compared['interval']) else ''}"


def excludes_zero(interval: list[float]) -> bool:
    """Whether both ends lie on one side of 0."""
    low, high = interval
    return low > 0 or high < 0


def _figure(value: float, best: float) -> Text:
    return Text(f"{value:.4f}", style="bold" if value == best else "")


def _of_splits(protocol: dict[str, Any]) -> str:
    return f" of {protocol['splits']} splits" if "splits" in protocol else ""


def _caption(results: dict[str, Any]) -> str:
    protocol = results["protocol"]
    n_items = protocol.get("items") or results["data"]["n_items"]
    caption: str = protocol.get("caption") or (
        f"{protocol['users']:,} test users{_of_splits(protocol)}, all {n_items:,} items ranked. Support: the first k "
        f"events in {protocol['order']} order. Query: what they liked after event {protocol['query_after']}."
    )
    if results.get("best_baseline"):
        caption += "\n* the 95% interval of the paired difference excludes 0"
    return caption
