"""A small world for the commands of the documents: events in tables, and trained bundles."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import made_up
import polars as pl

# Additional options of the documented training, so that it takes seconds.
BRIEFLY = ("--max-epochs", "2", "--shots", "0,1", "--no-cross-fit", "--max-items", "8")
LIKES = ("jazz", "rock", "jazz|rock")


@dataclass(frozen=True)
class World:
    """Folders in which the commands of a page run.

    Attributes:
        folder: holds ``events``, and ``bundles`` with one live bundle.
        second: bundles folder with a second, live bundle, as after a second training.
        environment: variables of the commands.
    """

    folder: Path
    second: Path
    environment: dict[str, str]

    def copy(self, folder: Path) -> Path:
        """A copy of the world for one page."""
        return Path(shutil.copytree(self.folder, folder))


def write_events(folder: Path) -> None:
    """The made-up world as CSV, items numbered as in MovieLens, with attributes of its users."""
    made_up.write_source(folder, users=160)
    made_up.write_users(folder)
    items = pl.read_parquet(folder / "items.parquet")
    numbers = {item_id: str(number) for number, item_id in enumerate(items["item_id"], 1)}
    for name in ("interactions", "items"):
        table = pl.read_parquet(folder / f"{name}.parquet")
        table.with_columns(pl.col("item_id").replace(numbers)).write_csv(folder / f"{name}.csv")
    user_ids = pl.read_parquet(folder / "users.parquet")["user_id"].to_list()
    users = [
        {"user_id": user_id, "gender": "FM"[number % 2], "age": 18 + number % 40, "likes": LIKES[number % len(LIKES)]}
        for number, user_id in enumerate(user_ids)
    ]
    pl.DataFrame(users).write_csv(folder / "users.csv")
    for path in folder.glob("*.parquet"):
        path.unlink()
