"""The data summary: statistics of a cleaned source, printed before training and stored in the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from model_store.bundle.cells import text_of
from model_store.bundle.scale import Kind
from model_store.content.bins import quantile_bins
from model_store.data.schema import Dataset
from model_store.tables.notes import Note, counted, shorten

MAX_BARS = 20
BAR_WIDTH = 40
LINE_WIDTH = 110
MAX_COLUMNS = 30
MAX_NAME_WIDTH = 24


@dataclass(frozen=True)
class ColumnFact:
    """A column of ``items.*`` or ``users.*``, and the features made from it.

    Attributes:
        table: "items" or "users".
        name: name of the column.
        became: number and kind of the features, e.g. "10 bins, 1 missing".
    """

    table: str
    name: str
    became: str


@dataclass(frozen=True)
class HistogramBar:
    """A bar of a histogram: the number of events with a value in ``low`` … ``high``, both included."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Summary:
    """Statistics of a source after cleaning.

    Attributes:
        source: SOURCE of the command line.
        kind: ratings, counts or clicks.
        order: sort order of a user's events: time, sequence or random.
        n_users: users with at least one event.
        n_items: rows of the catalogue, including items without events.
        n_items_with_events: items with at least one event.
        n_events: distinct user-item pairs.
        n_features: content features of the catalogue.
        n_attributes: attributes of the users.
        n_users_described: users with at least one attribute.
        density: share of all user-item pairs that have an event, 0 … 1.
        median_events: median number of events per user.
        liked_at_least: lowest value that counts as liked.
        liked_share: share of the events that are liked, 0 … 1.
        histogram: number of events by value.
        notes: counts of rows that were dropped, merged or incomplete.
        value_min: lowest value.
        value_max: highest value.
        reason: reason for ``kind``, as a clause.
        types: median value of each common event type.
        columns: columns of items and users, with the features made from them.
        warnings: problems to check before training, as sentences.
    """

    source: str
    kind: Kind
    order: str
    n_users: int
    n_items: int
    n_items_with_events: int
    n_events: int
    n_features: int
    n_attributes: int
    n_users_described: int
    density: float
    median_events: float
    liked_at_least: float
    liked_share: float
    histogram: tuple[HistogramBar, ...]
    notes: tuple[Note, ...]
    value_min: float
    value_max: float
    reason: str
    types: dict[str, float]
    columns: tuple[ColumnFact, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Convert to JSON values with one key per attribute.

        Bars are {"low", "high", "count"}, notes {"count", "reason"}, columns {"table", "name", "became"}.
        """
        notes = [{"count": note.count, "reason": note.counted_reason} for note in self.notes]
        return asdict(self) | {"notes": notes}

    def render(self) -> Text:
        """Render the summary as plain text; markup characters in the data are printed as they are."""
        with_events, liked = f"{self.n_items_with_events:,} with events", text_of(self.liked_at_least)
        span = " to ".join(dict.fromkeys((text_of(self.value_min), text_of(self.value_max))))
        median = f"median {text_of(self.median_events)} event{'' if self.median_events == 1 else 's'}"
        described = f", {counted(self.n_attributes, 'attribute')} of {counted(self.n_users_described, 'user')}"
        facts = {
            "data": self.source,
            "users": f"{self.n_users:,}, {median}{described if self.n_attributes else ''}",
            "items": f"{self.n_items:,}, {with_events}, {counted(self.n_features, 'content feature')}",
            "events": f"{self.n_events:,}, density {self.density:.3%}, order: {self.order}",
            "kind": f"{self.kind}, {span}: {self.reason} (--feedback and --liked-from change this)",
            "types": self._type_values(),
            "liked": f"{self.liked_share:.1%} of the events: {self.kind} of at least {liked}",
        }
        lines = []
        for name, fact in facts.items():
            if not fact:
                continue
            lines += [f"{name:<8}{fact}", *_columns(self.columns, name)]
        lines += [*_bars(self.histogram), *_listed("notes", map(str, self.notes))]
        return Text("\n".join([*lines, *_listed("warning", self.warnings)]))

    def _type_values(self) -> str:
        """Describe the value of each event type; "" for ratings and for fewer than two types."""
        if len(self.types) < 2 or self.kind == "ratings":  # noqa: PLR2004 - a single type has nothing to compare with
            return ""
        values = ", ".join(f"{name or 'no type'} is worth {text_of(value)}" for name, value in self.types.items())
        if len(set(self.types.values())) == 1:
            return f"{values}: all types have the same value; give them different values to weight them"
        return f"{values}: these weights apply to likes, popularity and adaptation"


def summarise(
    dataset: Dataset,
    *,
    source: str,
    kind: Kind,
    order: str,
    notes: Iterable[Note],
    reason: str = "",
    types: Mapping[str, float] | None = None,
    columns: Iterable[ColumnFact] = (),
    warnings: Iterable[str] = (),
) -> Summary:
    """Compute the summary of a cleaned data set.

    Args:
        dataset: the cleaned data.
        source: SOURCE of the command line.
        kind: kind of the values.
        order: sort order of a user's events: time, sequence or random.
        notes: notes of the cleaning; those with ``warns`` become warnings.
        reason: reason for ``kind``, as a clause.
        types: median value of each common event type.
        columns: columns of items and users.
        warnings: warnings without a count.
    """
    notes = list(notes)
    events, liked_at_least = dataset.events, dataset.feedback.liked_at_least
    n_events = len(events.items)
    return Summary(
        source=source,
        kind=kind,
        order=order,
        n_users=events.n_users,
        n_items=dataset.n_items,
        n_items_with_events=len(np.unique(events.items)),
        n_events=n_events,
        n_features=len(dataset.features.names),
        n_attributes=len(dataset.attribute_names),
        n_users_described=int(np.count_nonzero(np.diff(dataset.attributes.indptr))) if dataset.attributes else 0,
        density=n_events / (events.n_users * dataset.n_items),
        median_events=float(np.median(events.lengths())),
        liked_at_least=liked_at_least,
        liked_share=float(np.mean(events.values >= liked_at_least)),
        histogram=_histogram(events.values.astype(np.float64)),
        notes=tuple(note for note in notes if not note.warns),
        value_min=dataset.feedback.value_min,
        value_max=dataset.feedback.value_max,
        reason=reason,
        types=dict(types or {}),
        columns=tuple(columns),
        warnings=(*warnings, *(str(note) for note in notes if note.warns)),
    )


def _histogram(values: NDArray[np.float64]) -> tuple[HistogramBar, ...]:
    bins = quantile_bins(values, MAX_BARS)
    counts = np.bincount(bins.assign(values))
    rows = zip(bins.lows.tolist(), bins.highs.tolist(), counts.tolist(), strict=True)
    return tuple(HistogramBar(*row) for row in rows)


def _bars(histogram: tuple[HistogramBar, ...]) -> list[str]:
    spans = [dict.fromkeys((text_of(bar.low), text_of(bar.high))) for bar in histogram]
    names = [" to ".join(span) for span in spans]
    width, most = max(map(len, names)), max(bar.count for bar in histogram)
    bars = ["█" * round(BAR_WIDTH * bar.count / most) for bar in histogram]
    rows = zip(names, bars, histogram, strict=True)
    return _under("values", [f"{name:>{width}} {drawn} {bar.count:,}" for name, drawn, bar in rows])


def _columns(columns: tuple[ColumnFact, ...], table: str) -> list[str]:
    """List the columns of ``table``, one per line, aligned at the colon; a last line counts the omitted columns."""
    facts = [fact for fact in columns if fact.table == table]
    shown = facts[:MAX_COLUMNS]
    names = [shorten(fact.name, MAX_NAME_WIDTH) or "(no name)" for fact in shown]
    width = max(map(len, names), default=0)
    lines = [f"{name:>{width}}: {fact.became}" for name, fact in zip(names, shown, strict=True)]
    more = [f"and {counted(len(facts) - len(shown), 'more column')}"] if len(facts) > len(shown) else []
    return _under("", [*lines, *more])


def _listed(heading: str, sentences: Iterable[str]) -> list[str]:
    """List sentences beside a heading; long sentences are wrapped."""
    wrapped = [wrap(sentence, LINE_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for sentence in sentences]
    return _under(heading, [line for lines in wrapped for line in lines])


def _under(heading: str, lines: list[str]) -> list[str]:
    return [f"{'' if index else heading:<8}{line}" for index, line in enumerate(lines)]
