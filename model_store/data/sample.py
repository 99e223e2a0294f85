"""Sample of users with their first events, for the user to check against the source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.text import Text

from model_store.data.schema import Dataset
from model_store.tables.notes import counted, shorten

USERS = 5
EVENTS = 5
MAX_TITLE = 60
MAX_ATTRIBUTES = 100


@dataclass(frozen=True)
class SampleEvent:
    """An event of a sampled user; ``time`` is ISO 8601 in UTC, None if the data has no times."""

    item_id: str
    title: str
    value: float
    time: str | None


@dataclass(frozen=True)
class SampleUser:
    """A sampled user.

    Attributes:
        user_id: stable id.
        n_events: number of the user's events.
        attributes: names of the user's attributes.
        events: the user's first events, in order.
    """

    user_id: str
    n_events: int
    attributes: tuple[str, ...]
    events: tuple[SampleEvent, ...]

    def as_dict(self) -> dict[str, Any]:
        """Convert to JSON values with one key per attribute."""
        return asdict(self)


def sample_users(dataset: Dataset) -> tuple[SampleUser, ...]:
    """Sample five users at evenly spaced ranks of activity, from few events to many; all users if there are fewer."""
    by_length = np.argsort(dataset.events.lengths(), kind="stable")
    shares = (np.arange(USERS) + 0.5) / USERS
    positions = np.unique((shares * len(by_length)).astype(np.int64)) if len(by_length) > USERS else slice(None)
    return tuple(_user(dataset, int(user)) for user in by_length[positions])


def render_sample(users: tuple[SampleUser, ...], order: str) -> Text:
    """Render the sample as plain text; markup characters in the data are printed as they are.

    Args:
        users: the sample.
        order: sort order of a user's events: time, sequence or random.
    """
    lines = [line for user in users for line in ("", *_lines(user))]
    heading = f"sample  {counted(len(users), 'user')} and their first events, order: {order}"
    return Text("\n".join([heading, *lines]))


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
    """Format a point in time; seconds outside of the calendar are printed as a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.6g} s"


def _lines(user: SampleUser) -> Iterator[str]:
    attributes = shorten(", ".join(user.attributes), MAX_ATTRIBUTES)
    count, suffix = counted(user.n_events, "event"), f"; {attributes}" if attributes else ""
    yield f"  user {shorten(user.user_id, MAX_TITLE)!r}: {count}{suffix}"
    values = [f"{event.value:g}" for event in user.events]
    items = [repr(shorten(event.item_id, MAX_TITLE)) for event in user.events]
    widths = max(map(len, values)), max(map(len, items))
    for event, value, item in zip(user.events, values, items, strict=True):
        time = f"{event.time}  " if event.time else ""
        line = f"    {time}{value:>{widths[0]}}  {item:<{widths[1]}}  {shorten(event.title, MAX_TITLE)}"
        yield line.rstrip()
