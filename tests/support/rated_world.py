"""Made-up ratings with a known answer: a user rates one group of items 4 or 5, and all other items 2 or 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

GROUPS, PER_GROUP, USERS = 4, 30, 120
NEW_FROM = 1998

Change = Callable[[pl.DataFrame], pl.DataFrame]


def write_world(folder: Path, change: Change = lambda rows: rows) -> Path:
    """Write 120 users, 96 items from before 1998 and 24 from then on; ``change`` may alter the ratings."""
    rng = np.random.default_rng(0)
    items = [(f"g{g}-{n}", f"group {g}", 1990 + n % 10) for g in range(GROUPS) for n in range(PER_GROUP)]
    table = pl.DataFrame(items, schema=["item_id", "categories", "year"], orient="row")
    rows = []
    for user in range(USERS):
        liked = f"g{rng.integers(GROUPS)}-"
        for is_new, n_rated in ((False, 40), (True, 20)):
            ids = table.filter((pl.col("year") >= NEW_FROM) == is_new)["item_id"].to_list()
            for item_id in rng.choice(ids, n_rated, replace=False).tolist():
                value = rng.choice([4, 5] if item_id.startswith(liked) else [1, 2, 2])
                rows.append((f"u{user:03}", item_id, float(value)))
    folder.mkdir(parents=True, exist_ok=True)
    ratings = pl.DataFrame(rows, schema=["user_id", "item_id", "value"], orient="row")
    change(ratings.join(table, on="item_id")).select("user_id", "item_id", "value").write_parquet(
        folder / "interactions.parquet"
    )
    table.write_parquet(folder / "items.parquet")
    return folder
