"""A few users with their first events, for a person to compare with what they know of the data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.text import Text

from model_store.data.schema import Dataset
from model_store.data.summary import shorten

USERS = 5
EVENTS = 5
MAX_TITLE = 60
MAX_ATTRIBUTES = 100


@dataclass(frozen=True)
class SampleEvent:
    """An event of a sampled user; ``time`` is ISO 8601 in UTC, None where the data has no times."""

    item_id: str
    title: str
    value: float
    time: str | None


@dataclass(frozen=True)
class SampleUser:
    """A sampled user.

    Attributes:
        user_id: stable id.
        n_events: number of all events of the user.
        attributes: names of the attributes.
        events: the first events, in order.
    """

    user_id: str
    n_events: int
    attributes: tuple[str, ...]
    events: tuple[SampleEvent, ...]

    def as_dict(self) -> dict[str, Any]:
        """One key per attribute, for JSON."""
        return asdict(self)


def sample_users(dataset: Dataset) -> tuple[SampleUser, ...]:
    """Five users, from one with few events to one with many; all of them where there are no more."""
    by_length = np.argsort(dataset.events.lengths(), kind="stable")
    shares = (np.arange(USERS) + 0.5) / USERS
    positions = np.unique((shares * len(by_length)).astype(np.int64)) if len(by_length) > USERS else slice(None)
    return tuple(_user(dataset, int(user)) for user in by_length[positions])


def render_sample(users: tuple[SampleUser, ...], order: str) -> Text:
    """The users as text below each other; nothing in it is taken for markup.

    Args:
        users: the sample.
        order: what the events of a user are ordered by.
    """
    lines = [line for user in users for line in ("", *_lines(user))]
    return Text("\n".join([f"sample  {len(users)} users and their first events, order: {order}", *lines]))


def _user(dataset: Dataset, user: int) -> SampleUser:
    run = dataset.events.user(user)
    first = range(run.start, min(run.stop, run.start + EVENTS))
    attributes = dataset.attributes
    ids = [] if attributes is None else attributes.ids[attributes.indptr[user] : attributes.indptr[user + 1]].tolist()
    names = tuple(dataset.attribute_names[index] for index in ids)
    events = tuple(_event(dataset, position) for position in first)
    return SampleUser(dataset.user_ids[user], run.stop - run.start, names, events)


def _event(dataset: Dataset, position: int) -> SampleEvent:
    item = int(dataset.events.items[position])
    time = _iso(float(dataset.events.times[position])) if dataset.has_time else None
    value = float(f"{dataset.events.values[position]:.6g}")  # float32 has no more digits
    return SampleEvent(dataset.item_ids[item], dataset.titles[item], value, time)


def _iso(seconds: float) -> str:
    """A point in time as text; seconds as they are where no calendar has them."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.6g} s"


def _lines(user: SampleUser) -> Iterator[str]:
    attributes = shorten(", ".join(user.attributes), MAX_ATTRIBUTES)
    count = "1 event" if user.n_events == 1 else f"{user.n_events:,} events"
    yield f"  user {shorten(user.user_id, MAX_TITLE)!r}: {count}{f'; {attributes}' if attributes else ''}"
    values = [f"{event.value:g}" for event in user.events]
    items = [repr(shorten(event.item_id, MAX_TITLE)) for event in user.events]
    widths = max(map(len, values)), max(map(len, items))
    for event, value, item in zip(user.events, values, items, strict=True):
        time = f"{event.time}  " if event.time else ""
        line = f"    {time}{value:>{widths[0]}}  {item:<{widths[1]}}  {shorten(event.title, MAX_TITLE)}"
        yield line.rstrip()
