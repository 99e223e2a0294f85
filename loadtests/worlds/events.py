"""Events with the shape of MovieLens-20M, from which training can learn: for measuring training at that size.

    python -m loadtests.worlds.events FOLDER                 138,493 users, 26,744 items, 20 million events
    python -m loadtests.worlds.events FOLDER --scale 0.05    a twentieth of the users and events

FOLDER is then a source for ``kshot train --data FOLDER``. Users have at least 20 events and a log-normal number of
them, as in MovieLens-20M (median 68, mean 144, the longest above 9,000). Items have a long tail. Every item is of one
kind and every user likes a few kinds, so that neighbours, vectors and adaptation have something to find.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

USERS, ITEMS, EVENTS_A_USER = 138_493, 26_744, 150.0
KINDS = 50
KINDS_OF_A_USER = 4
# The rest of a user's events are on whatever is popular.
SHARE_OF_OWN_KINDS = 0.7
MIN_EVENTS, MAX_EVENTS, LOG_SPREAD = 20, 9_254, 1.35
TAIL_EXPONENT, TAIL_OFFSET = 1.9, 200.0
# Popular items come up again and again for one user, and count once: so many more have to be drawn.
OVERDRAWN = 3.0
USERS_AT_ONCE = 4_096
START_S, A_DAY_S = 1_100_000_000, 86_400

Int = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """What events are drawn from.

    Attributes:
        kind: int64 (n_items,), of each item.
        by_kind: int64 (n_items,), rows sorted by kind, in it the most popular first.
        starts: int64 (KINDS + 1,), where each kind begins in ``by_kind``.
        reached: float64 (n_items,), kind + cumulated share of the kind's events, along ``by_kind``: increasing.
        reached_of_all: float64 (n_items,), cumulated share of all events by row; row 0 is the most popular.
    """

    kind: Int
    by_kind: Int
    starts: Int
    reached: NDArray[np.float64]
    reached_of_all: NDArray[np.float64]

    @classmethod
    def create(cls, n_items: int, rng: np.random.Generator) -> World:
        """Deal kinds to items whose popularity follows a shifted Zipf law."""
        popularity = (np.arange(n_items) + TAIL_OFFSET) ** -TAIL_EXPONENT
        kind = rng.integers(0, KINDS, n_items)
        by_kind = np.argsort(kind, kind="stable")
        starts = np.searchsorted(kind[by_kind], np.arange(KINDS + 1))
        own = np.cumsum(popularity[by_kind])
        before = np.concatenate([[0.0], own])[starts]
        share = (own - before[kind[by_kind]]) / np.diff(before)[kind[by_kind]]
        return cls(kind, by_kind, starts, kind[by_kind] + share, np.cumsum(popularity) / popularity.sum())

    def draw(self, lengths: Int, rng: np.random.Generator) -> tuple[Int, Int, NDArray[np.bool_]]:
        """Draw about ``lengths`` events for each user.

        Returns:
            Users (places in ``lengths``) and items in random order, each pair once, and whether the item is of a
            kind that the user likes; all of one length.
        """
        likes = rng.integers(0, KINDS, (len(lengths), KINDS_OF_A_USER))
        users = np.repeat(np.arange(len(lengths)), (OVERDRAWN * lengths).astype(np.int64))
        kinds = likes[users, rng.integers(0, KINDS_OF_A_USER, len(users))]
        of_kind = self.by_kind[
            np.minimum(self.reached.searchsorted(kinds + rng.random(len(users))), len(self.kind) - 1)
        ]
        of_all = np.minimum(self.reached_of_all.searchsorted(rng.random(len(users))), len(self.kind) - 1)
        items = np.where(rng.random(len(users)) < SHARE_OF_OWN_KINDS, of_kind, of_all)
        users, items = _first_of_each_pair(users, items, lengths, len(self.kind))
        return users, items, (likes[users] == self.kind[items][:, None]).any(1)


def _first_of_each_pair(users: Int, items: Int, lengths: Int, n_items: int) -> tuple[Int, Int]:
    """Every pair once, where it came first, and of each user at most the first ``lengths``."""
    places = np.sort(np.unique(users * n_items + items, return_index=True)[1])
    users, items = users[places], items[places]
    starts = np.searchsorted(users, np.arange(len(lengths)))
    kept = np.arange(len(users)) - starts[users] < lengths[users]
    return users[kept], items[kept]


def write_events(folder: Path, scale: float, seed: int) -> int:
    """Write ``interactions.parquet`` and ``items.parquet`` into ``folder``; returns how many events.

    Args:
        folder: created if need be.
        scale: share of ML-20M's users, and so of its events; items by its square root.
        seed: one seed gives one source.
    """
    rng = np.random.default_rng(seed)
    n_users, n_items = round(USERS * scale), round(ITEMS * scale**0.5)
    world = World.create(n_items, rng)
    folder.mkdir(parents=True, exist_ok=True)
    events = pl.concat(_batches(world, n_users, n_items, rng))
    events.write_parquet(folder / "interactions.parquet")
    kinds = pl.Series([f"kind {kind}" for kind in world.kind])
    pl.DataFrame({"item_id": np.arange(n_items), "categories": kinds}).write_parquet(folder / "items.parquet")
    return len(events)


def _batches(world: World, n_users: int, n_items: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    for first in range(0, n_users, USERS_AT_ONCE):
        lengths = _lengths(min(USERS_AT_ONCE, n_users - first), n_items // 3, rng)
        users, items, own = world.draw(lengths, rng)
        # Half stars from .5 to 5, about one and a half more for what a user likes.
        stars = np.clip(np.round(2 * (rng.normal(2.8, 0.9, len(users)) + 1.5 * own)) / 2, 0.5, 5)
        times = START_S + rng.integers(0, 3_000, len(lengths))[users] * A_DAY_S + 60 * np.arange(len(users))
        yield pl.DataFrame({"user_id": first + users, "item_id": items, "value": stars, "timestamp": times})


def _lengths(n_users: int, longest: int, rng: np.random.Generator) -> Int:
    above = rng.lognormal(np.log(EVENTS_A_USER - MIN_EVENTS) - LOG_SPREAD**2 / 2, LOG_SPREAD, n_users)
    return np.minimum(MIN_EVENTS + above, min(MAX_EVENTS, longest)).astype(np.int64)


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write; a source for kshot train")
    parser.add_argument("--scale", type=float, default=1.0, help="share of MovieLens-20M's users and events")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    written = write_events(options.folder, options.scale, options.seed)
    print(f"{options.folder}: {written:,} events")


if __name__ == "__main__":
    main()
