"""A page about a source: printed before training, kept in the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from model_store.bundle.scale import Kind
from model_store.content.bins import figure, quantile_bins
from model_store.data.schema import Dataset

MAX_BARS = 20
BAR_WIDTH = 40
LINE_WIDTH = 110
MAX_COLUMNS = 30
MAX_NAME_WIDTH = 24


@dataclass(frozen=True)
class Note:
    """Rows that were dropped, merged or lack something.

    Attributes:
        count: number of rows, or of what ``reason`` names.
        reason: the rest of the sentence that the count begins.
        warns: whether somebody should look at the data before training; ``kshot inspect --strict`` fails on it.
    """

    count: int
    reason: str
    warns: bool = False

    def __str__(self) -> str:
        return f"{self.count:,} {self.reason}"


@dataclass(frozen=True)
class ColumnFact:
    """A column of ``items.*`` or ``users.*``, and the features that it became.

    Attributes:
        table: "items" or "users".
        name: name of the column.
        became: e.g. "10 bins, 1 missing".
    """

    table: str
    name: str
    became: str


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram: events whose value lies in ``low`` … ``high``, both included."""

    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Summary:
    """One page about a source, after cleaning.

    Attributes:
        source: SOURCE of the command line.
        kind: whether values are ratings, counts or clicks.
        order: what the events of a user are ordered by.
        n_users: users with at least one event.
        n_items: rows of the catalogue, items without events included.
        n_items_with_events: those of them that anybody has an event with.
        n_events: distinct user-item pairs.
        n_features: content features of the catalogue.
        n_attributes: attributes of the users.
        n_users_described: users of whom any attribute is known.
        density: share of all user-item pairs that have an event, 0 … 1.
        median_events: median number of events of a user.
        liked_at_least: value from which an event counts as liked.
        liked_share: share of the events that are liked, 0 … 1.
        histogram: events by value.
        notes: rows that were dropped, merged or lack something, and why.
        value_min: lowest value.
        value_max: highest value.
        reason: why the values are taken for ``kind``, as a clause.
        types: median value of every common type of event.
        columns: columns of the items and the users, and what they became.
        warnings: sentences about what somebody should look at before training.
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
    histogram: tuple[Bar, ...]
    notes: tuple[Note, ...]
    value_min: float
    value_max: float
    reason: str
    types: dict[str, float]
    columns: tuple[ColumnFact, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """One key per attribute, for JSON.

        Bars are {"low", "high", "count"}, notes {"count", "reason"}, columns {"table", "name", "became"}.
        """
        notes = [{"count": note.count, "reason": note.reason} for note in self.notes]
        return asdict(self) | {"notes": notes}

    def render(self) -> Text:
        """The page as text; nothing in it is taken for markup."""
        with_events, liked = f"{self.n_items_with_events:,} with events", figure(self.liked_at_least)
        span = " to ".join(dict.fromkeys((figure(self.value_min), figure(self.value_max))))
        described = (
            f", {self.n_attributes:,} attributes known of {self.n_users_described:,}" if self.n_attributes else ""
        )
        facts = {
            "data": self.source,
            "users": f"{self.n_users:,}, median {figure(self.median_events)} events{described}",
            "items": f"{self.n_items:,}, {with_events}, {self.n_features:,} content features",
            "events": f"{self.n_events:,}, density {self.density:.3%}, order: {self.order}",
            "kind": f"{self.kind}, {span}: {self.reason} (--feedback and --liked-from change this)",
            "types": self._worth(),
            "liked": f"{self.liked_share:.1%} of the events, those with {self.kind} from {liked}",
        }
        lines = []
        for name, fact in facts.items():
            if not fact:
                continue
            lines += [f"{name:<8}{fact}", *_columns(self.columns, name)]
        lines += [*_bars(self.histogram), *_listed("notes", map(str, self.notes))]
        return Text("\n".join([*lines, *_listed("warning", self.warnings)]))

    def _worth(self) -> str:
        """Worth of the types of event; "" where there are not several."""
        if len(self.types) < 2 or self.kind == "ratings":  # noqa: PLR2004 - one type is worth what all are
            return ""
        worth = ", ".join(f"{name or 'no type'} is worth {figure(value)}" for name, value in self.types.items())
        if len(set(self.types.values())) == 1:
            return f"{worth}: all alike; give each type a value of its own to weigh them"
        return f"{worth}: as likes, in popularity and in adaptation"


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
    """Count what the page says about a cleaned data set.

    Args:
        dataset: the cleaned data.
        source: SOURCE of the command line.
        kind: kind of the values.
        order: what the events of a user are ordered by.
        notes: notes of the cleaning; those that warn become warnings.
        reason: why the values are taken for ``kind``, as a clause.
        types: median value of every common type of event.
        columns: columns of the items and the users.
        warnings: warnings that have no count.
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


def shorten(text: str, width: int) -> str:
    """``text`` on one line of at most ``width`` characters, with "…" where some are left out.

    Control characters, line ends among them, become blanks: what a table holds cannot move a terminal's cursor.
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= width else line[: width - 1] + "…"


def _histogram(values: NDArray[np.float64]) -> tuple[Bar, ...]:
    bins = quantile_bins(values, MAX_BARS)
    counts = np.bincount(bins.place(values))
    rows = zip(bins.lows.tolist(), bins.highs.tolist(), counts.tolist(), strict=True)
    return tuple(Bar(*row) for row in rows)


def _bars(histogram: tuple[Bar, ...]) -> list[str]:
    spans = [dict.fromkeys((figure(bar.low), figure(bar.high))) for bar in histogram]
    names = [" to ".join(span) for span in spans]
    width, most = max(map(len, names)), max(bar.count for bar in histogram)
    bars = ["█" * round(BAR_WIDTH * bar.count / most) for bar in histogram]
    rows = zip(names, bars, histogram, strict=True)
    return _under("values", [f"{name:>{width}} {drawn} {bar.count:,}" for name, drawn, bar in rows])


def _columns(columns: tuple[ColumnFact, ...], table: str) -> list[str]:
    """One line per column of ``table``, names aligned at their colon; the last line counts those left out."""
    facts = [fact for fact in columns if fact.table == table]
    shown = facts[:MAX_COLUMNS]
    names = [shorten(fact.name, MAX_NAME_WIDTH) or "(no name)" for fact in shown]
    width = max(map(len, names), default=0)
    lines = [f"{name:>{width}}: {fact.became}" for name, fact in zip(names, shown, strict=True)]
    more = [f"and {len(facts) - len(shown)} more columns"] if len(facts) > len(shown) else []
    return _under("", [*lines, *more])


def _listed(heading: str, sentences: Iterable[str]) -> list[str]:
    """Sentences below a heading, long ones on several lines."""
    wrapped = [wrap(sentence, LINE_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for sentence in sentences]
    return _under(heading, [line for lines in wrapped for line in lines])


def _under(heading: str, lines: list[str]) -> list[str]:
    return [f"{'' if index else heading:<8}{line}" for index, line in enumerate(lines)]
