"""Write made-up events in the shape of MovieLens-20M as a source of kshot train.

    python -m loadtests events FOLDER                 138,493 users, 26,744 items, 20 million events
    python -m loadtests events FOLDER --scale 0.05    a twentieth of the users and events

Train on them with ``kshot train --data FOLDER``. Users have at least 20 events; their number is log-normal as in
MovieLens-20M (median 68, mean 144, maximum above 9,000). The popularity of items has a long tail. Every item is of one
kind and every user likes a few kinds, which neighbours, vectors and adaptation can learn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from loadtests.kit.cli import LoadTest

USERS, ITEMS, EVENTS_PER_USER = 138_493, 26_744, 150.0
KINDS = 50
KINDS_PER_USER = 4
# The rest of a user's events are on popular items of any kind.
SHARE_OF_LIKED_KINDS = 0.7
MIN_EVENTS, MAX_EVENTS, LOG_SPREAD = 20, 9_254, 1.35
TAIL_EXPONENT, TAIL_OFFSET = 1.9, 200.0
# Draws per event: popular items are drawn several times for one user and kept once.
DRAWS_PER_EVENT = 3.0
BATCH_USERS = 4_096
START_S, DAY_S = 1_100_000_000, 86_400

Int = NDArray[np.int64]


@dataclass(frozen=True)
class EventSource:
    """Distributions that events are drawn from.

    Attributes:
        kind: int64 (n_items,), kind of each item.
        by_kind: int64 (n_items,), rows sorted by kind, within a kind by falling popularity.
        starts: int64 (KINDS + 1,), start of each kind in ``by_kind``.
        kind_cdf: float64 (n_items,), kind + cumulated share of the kind's events, along ``by_kind``: increasing.
        cdf: float64 (n_items,), cumulated share of all events by row; row 0 is the most popular.
    """

    kind: Int
    by_kind: Int
    starts: Int
    kind_cdf: NDArray[np.float64]
    cdf: NDArray[np.float64]

    @classmethod
    def create(cls, n_items: int, rng: np.random.Generator) -> EventSource:
        """Deal kinds to items whose popularity follows a shifted Zipf law."""
        popularity = (np.arange(n_items) + TAIL_OFFSET) ** -TAIL_EXPONENT
        kind = rng.integers(0, KINDS, n_items)
        by_kind = np.argsort(kind, kind="stable")
        starts = np.searchsorted(kind[by_kind], np.arange(KINDS + 1))
        cumulated = np.cumsum(popularity[by_kind])
        before = np.concatenate([[0.0], cumulated])[starts]
        share = (cumulated - before[kind[by_kind]]) / np.diff(before)[kind[by_kind]]
        return cls(kind, by_kind, starts, kind[by_kind] + share, np.cumsum(popularity) / popularity.sum())

    def draw(self, lengths: Int, rng: np.random.Generator) -> tuple[Int, Int, NDArray[np.bool_]]:
        """Draw about ``lengths`` events for each user.

        Returns:
            Users (indices of ``lengths``) and items in random order without duplicate pairs, and True where the user
            likes the item's kind; all of one length.
        """
        likes = rng.integers(0, KINDS, (len(lengths), KINDS_PER_USER))
        users = np.repeat(np.arange(len(lengths)), (DRAWS_PER_EVENT * lengths).astype(np.int64))
        kinds = likes[users, rng.integers(0, KINDS_PER_USER, len(users))]
        of_liked_kind = self.by_kind[
            np.minimum(self.kind_cdf.searchsorted(kinds + rng.random(len(users))), len(self.kind) - 1)
        ]
        of_all = np.minimum(self.cdf.searchsorted(rng.random(len(users))), len(self.kind) - 1)
        items = np.where(rng.random(len(users)) < SHARE_OF_LIKED_KINDS, of_liked_kind, of_all)
        users, items = _first_of_each_pair(users, items, lengths, len(self.kind))
        return users, items, (likes[users] == self.kind[items][:, None]).any(1)


def _first_of_each_pair(users: Int, items: Int, lengths: Int, n_items: int) -> tuple[Int, Int]:
    """The first of every pair, and at most the first ``lengths`` pairs of each user."""
    firsts = np.sort(np.unique(users * n_items + items, return_index=True)[1])
    users, items = users[firsts], items[firsts]
    starts = np.searchsorted(users, np.arange(len(lengths)))
    kept = np.arange(len(users)) - starts[users] < lengths[users]
    return users[kept], items[kept]


def write_events(folder: Path, scale: float, seed: int) -> int:
    """Write ``interactions.parquet`` and ``items.parquet`` into ``folder``; returns the number of events.

    Args:
        folder: created if need be.
        scale: share of ML-20M's users and events; items scale with its square root.
        seed: the events are a function of it.
    """
    rng = np.random.default_rng(seed)
    n_users, n_items = round(USERS * scale), round(ITEMS * scale**0.5)
    source = EventSource.create(n_items, rng)
    folder.mkdir(parents=True, exist_ok=True)
    events = pl.concat(_batches(source, n_users, n_items, rng))
    events.write_parquet(folder / "interactions.parquet")
    kinds = pl.Series([f"kind {kind}" for kind in source.kind])
    pl.DataFrame({"item_id": np.arange(n_items), "categories": kinds}).write_parquet(folder / "items.parquet")
    return len(events)


def _batches(source: EventSource, n_users: int, n_items: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    for first in range(0, n_users, BATCH_USERS):
        lengths = _lengths(min(BATCH_USERS, n_users - first), n_items // 3, rng)
        users, items, liked = source.draw(lengths, rng)
        # Half stars from 0.5 to 5, about 1.5 more for kinds that the user likes.
        stars = np.clip(np.round(2 * (rng.normal(2.8, 0.9, len(users)) + 1.5 * liked)) / 2, 0.5, 5)
        times = START_S + rng.integers(0, 3_000, len(lengths))[users] * DAY_S + 60 * np.arange(len(users))
        yield pl.DataFrame({"user_id": first + users, "item_id": items, "value": stars, "timestamp": times})


def _lengths(n_users: int, longest: int, rng: np.random.Generator) -> Int:
    above = rng.lognormal(np.log(EVENTS_PER_USER - MIN_EVENTS) - LOG_SPREAD**2 / 2, LOG_SPREAD, n_users)
    return np.minimum(MIN_EVENTS + above, min(MAX_EVENTS, longest)).astype(np.int64)


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    written = write_events(options.folder, options.scale, options.seed)
    return {"folder": str(options.folder), "events": written}


def _table(result: dict[str, Any]) -> str:
    return f"{result['folder']}: {result['events']:,} events"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder to write; a source for kshot train")
    parser.add_argument("--scale", type=float, default=1.0, help="share of MovieLens-20M's users and events (1.0)")


LOAD_TEST = LoadTest(_measure, _table, {"seed": 0}, smoke={"scale": 0.002}, add_options=_add_options)
