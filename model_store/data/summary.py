"""What a source turned out to hold, on one page: read before training, kept in the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from model_store.bundle.scale import Kind
from model_store.data.bins import figure, quantile_bins
from model_store.data.schema import Dataset

MAX_BARS = 20
BAR_WIDTH = 40


@dataclass(frozen=True)
class Note:
    """Rows that were dropped, merged or lack something: how many, and why."""

    count: int
    reason: str


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
        source: SOURCE as it was given.
        kind: whether values are ratings or counts.
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
        notes: what was dropped, merged or missing, and why.
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

    def as_dict(self) -> dict[str, Any]:
        """For JSON, one key an attribute; bars as {"low", "high", "count"}, notes as {"count", "reason"}."""
        return asdict(self)

    def render(self) -> Text:
        """The page as text; nothing in it is taken for markup."""
        known, liked = f"{self.n_items_with_events:,} with events", figure(self.liked_at_least)
        described = (
            f", {self.n_attributes:,} attributes known of {self.n_users_described:,}" if self.n_attributes else ""
        )
        facts = {
            "data": self.source,
            "users": f"{self.n_users:,}, median {figure(self.median_events)} events{described}",
            "items": f"{self.n_items:,}, {known}, {self.n_features:,} content features",
            "events": f"{self.n_events:,}, density {self.density:.3%}, order: {self.order}",
            "liked": f"{self.liked_share:.1%} of the events, those with {self.kind} from {liked}",
        }
        lines = [f"{name:<8}{fact}" for name, fact in facts.items()]
        notes = [f"{note.count:,} {note.reason}" for note in self.notes]
        return Text("\n".join([*lines, *_bars(self.histogram), *_under("notes", notes)]))


def summarise(dataset: Dataset, *, source: str, kind: Kind, order: str, notes: list[Note]) -> Summary:
    """Count what the page says about a cleaned data set."""
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
        notes=tuple(notes),
    )


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


def _under(heading: str, lines: list[str]) -> list[str]:
    return [f"{'' if place else heading:<8}{line}" for place, line in enumerate(lines)]
