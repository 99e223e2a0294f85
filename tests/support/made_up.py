"""Made-up data with a known right answer.

Items belong to one of a few groups, and a user likes one group: values 4 and 5 for its items, 1 and 2 for other items.
A personal list therefore holds items of one group only, after a single event.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

GROUPS = 8
ITEMS_PER_GROUP = 30
USERS = 400
EVENTS = 36


def group_of(item_id: str) -> int:
    """Group of an item, read from its id."""
    return int(item_id[1:].partition("-")[0])


def item_id(group: int, number: int) -> str:
    return f"g{group}-{number}"


def write_source(folder: Path, *, seed: int = 0, users: int = USERS, numbers: range = range(ITEMS_PER_GROUP)) -> Path:
    """Write interactions.parquet and items.parquet of the made-up world into ``folder``.

    ``numbers``, at least 26 of them, number the items within each group.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        liked = int(rng.integers(GROUPS))
        liked_numbers = rng.choice(numbers, 26, replace=False)
        disliked = [(g, n) for g in range(GROUPS) if g != liked for n in numbers]
        chosen = rng.choice(len(disliked), EVENTS - len(liked_numbers), replace=False)
        picks = [(liked, int(n), float(rng.integers(4, 6))) for n in liked_numbers]
        picks += [(*disliked[c], float(rng.integers(1, 3))) for c in chosen]
        for day, pick in enumerate(rng.permutation(len(picks))):
            group, number, value = picks[pick]
            rows.append((f"u{user}", item_id(group, number), value, 1_600_000_000 + 86_400 * day))
    folder.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=["user_id", "item_id", "value", "timestamp"], orient="row").write_parquet(
        folder / "interactions.parquet"
    )
    items = [(item_id(g, n), f"Item {n} of group {g}", f"group {g}") for g in range(GROUPS) for n in numbers]
    pl.DataFrame(items, schema=["item_id", "title", "categories"], orient="row").write_parquet(folder / "items.parquet")
    return folder


def write_users(folder: Path, *, seed: int = 0) -> Path:
    """Write users.parquet beside the interactions; the guild of a user names the group that the user likes."""
    liked = pl.read_parquet(folder / "interactions.parquet").filter(pl.col("value") >= 4)
    users = liked.group_by("user_id").agg(pl.col("item_id").first()).sort("user_id")
    groups = [group_of(item) for item in users["item_id"]]
    luck = np.random.default_rng(seed).integers(0, 100, len(users))
    users.select("user_id", guild=pl.Series([guild(group) for group in groups]), lucky_number=luck).write_parquet(
        folder / "users.parquet"
    )
    return folder


def guild(group: int) -> str:
    """The guild of users who like ``group``."""
    return f"guild {group}"
