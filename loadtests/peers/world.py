"""Users, items and events for all peers, as a file in the schema of ``kshot train``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from model_store.data.sources import load

TASTES = 20
EVENTS_PER_USER = 30  # in the made-up world
LIKED, DISLIKED = 5.0, 1.0
OFF_TASTE = 0.2
ZIPF = 0.7


@dataclass(frozen=True)
class World:
    """One catalogue and its users.

    Attributes:
        source: origin of the events, for the result.
        folder: contains interactions.csv with the columns user_id, item_id, value, timestamp.
        user_ids: ids of all users.
        n_items: number of items with an event.
        liked: liked items per user, for some users; feedback of new users is drawn from them.
    """

    source: str
    folder: Path
    user_ids: list[str]
    n_items: int
    liked: list[list[str]]

    @property
    def interactions(self) -> Path:
        """The file of all events."""
        return self.folder / "interactions.csv"

    def events(self) -> pl.DataFrame:
        """All events; those of a user are in order of time."""
        return pl.read_csv(self.interactions, schema_overrides={"user_id": pl.String, "item_id": pl.String})

    def joined_by(self, user_id: str, item_ids: list[str], folder: Path) -> World:
        """This world with one more user, who likes ``item_ids``."""
        events = self.events()
        now = int(events["timestamp"].max() or 0)  # type: ignore[arg-type] # a column of whole seconds
        rows = [(user_id, item_id, LIKED, now + second) for second, item_id in enumerate(item_ids, 1)]
        joined = pl.DataFrame(rows, schema=events.schema, orient="row")
        return _write(self.source, folder, pl.concat([events, joined]))


def world_of(source: str, folder: Path) -> World:
    """The events of a source of ``kshot train``.

    Raises:
        DataError: the source does not exist.
    """
    dataset = load(source).dataset
    events = dataset.events
    frame = pl.DataFrame(
        {
            "user_id": np.repeat(dataset.user_ids, events.lengths()),
            "item_id": np.array(dataset.item_ids)[events.items],
            "value": events.values.astype(np.float64),
            "timestamp": events.times.astype(np.int64),
        }
    )
    return _write(source, folder, frame)


def made_up_world(users: int, items: int, seed: int, folder: Path) -> World:
    """Users with one taste each, who like few other items; popularity within a taste has a long tail."""
    rng = np.random.default_rng(seed)
    per_taste = items // TASTES
    popularity = np.arange(1, per_taste + 1) ** -ZIPF
    popularity /= popularity.sum()
    frames = []
    for user in range(users):
        taste = int(rng.integers(TASTES))
        of_taste = rng.choice(per_taste, int(EVENTS_PER_USER * (1 - OFF_TASTE)), replace=False, p=popularity)
        off_taste = rng.choice(per_taste * TASTES, int(EVENTS_PER_USER * OFF_TASTE), replace=False)
        rows = np.concatenate([of_taste * TASTES + taste, off_taste])
        frames.append(
            pl.DataFrame(
                {
                    "user_id": str(user + 1),
                    "item_id": [str(row + 1) for row in rows],
                    "value": np.where(rows % TASTES == taste, LIKED, DISLIKED),
                    "timestamp": 1_600_000_000 + 86_400 * rng.permutation(len(rows)),
                }
            )
        )
    events = pl.concat(frames).unique(["user_id", "item_id"], keep="first", maintain_order=True)
    return _write(f"made up: {users} users, {items} items, seed {seed}", folder, events.sort("user_id", "timestamp"))


def _write(source: str, folder: Path, events: pl.DataFrame) -> World:
    folder.mkdir(parents=True, exist_ok=True)
    events.write_csv(folder / "interactions.csv")
    best = events.filter(pl.col("value") >= events["value"].quantile(0.5)).sort("user_id", "timestamp")
    users = best["user_id"].to_list()
    starts = [0, *(index for index, (one, other) in enumerate(pairwise(users), 1) if one != other), len(users)]
    liked = [best["item_id"][start:end].to_list() for start, end in pairwise(starts)]
    return World(
        source, folder, events["user_id"].unique(maintain_order=True).to_list(), events["item_id"].n_unique(), liked
    )
