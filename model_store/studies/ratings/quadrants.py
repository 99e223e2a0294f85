"""MeLU's protocol: users and items are existing or new, and each of the four combinations is judged by itself.

Lee et al., MeLU: Meta-Learned User Preference Estimator for Cold-Start Recommendation, KDD 2019 (arXiv:1908.00413),
section 4.1, and the authors' data preparation. A user belongs to a quadrant with 13 to 100 ratings of its items: the
last 10 are the query, the others the support. Training reads only ratings of existing items by existing users.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.data.schema import Dataset, Events
from model_store.data.split import UserSplit
from model_store.errors import DataError
from model_store.studies.ratings.rated_users import MAX_QUERY, RatedUsers, divide, of_items
from model_store.tables.table import Table

MIN_RATINGS, MAX_RATINGS = 13, 100
NEW_SHARE = 0.2
WARM, NEW_USERS, NEW_ITEMS, NEW_BOTH = "warm", "new users", "new items", "both new"
QUADRANTS = (WARM, NEW_USERS, NEW_ITEMS, NEW_BOTH)


@dataclass(frozen=True)
class NewItems:
    """Items that count as new.

    Attributes:
        new: bool (n_items,).
        rule: the rule that tells them apart, e.g. "year >= 1998".
    """

    new: NDArray[np.bool_]
    rule: str


@dataclass(frozen=True)
class Quadrant:
    """The users of a quadrant, with support and query.

    Attributes:
        support: users and ratings to adapt to.
        query: 10 ratings per user to predict, of the same users in the same order.
    """

    support: RatedUsers
    query: Events

    def values(self) -> NDArray[np.float32]:
        """Ratings to predict, float32 (n_users, 10)."""
        return self.query.values.reshape(-1, MAX_QUERY)


def find_new_items(dataset: Dataset, items: Table | None, seed: int) -> NewItems:
    """The newest items, a fifth of the catalogue at most.

    By the ``year`` column of the items if it has numbers (on ML-1M that is the paper's split, from 1998 on); else by
    the first event of each item if events have times; else at random.
    """
    years = _years(dataset.item_ids, items)
    if years is not None:
        first = _first_new(years)
        return NewItems(years >= first, f"year >= {first:g}")
    if dataset.has_time:
        first_event = np.full(dataset.n_items, np.inf)
        np.minimum.at(first_event, dataset.events.items, dataset.events.times)
        first = _first_new(first_event[np.isfinite(first_event)])
        return NewItems(np.isfinite(first_event) & (first_event >= first), "latest first event")
    new = np.zeros(dataset.n_items, dtype=np.bool_)
    drawn = np.random.default_rng(seed).permutation(dataset.n_items)
    new[drawn[: int(NEW_SHARE * dataset.n_items)]] = True
    return NewItems(new, "random, seeded")


def make_quadrants(events: Events, split: UserSplit, new: NDArray[np.bool_]) -> dict[str, Quadrant]:
    """All four quadrants by name; the test users are the new users. All but the warm quadrant may be empty.

    Raises:
        DataError: no existing user has enough ratings of existing items to learn from.
    """
    existing = np.sort(np.concatenate([split.train, split.validation]))
    sides = [(existing, ~new), (split.test, ~new), (existing, new), (split.test, new)]
    quadrants = {name: _quadrant(events, *side) for name, side in zip(QUADRANTS, sides, strict=True)}
    for group, users in (("training", split.train), ("validation", split.validation)):
        if not np.isin(quadrants[WARM].support.users, users).any():
            raise DataError(
                f"no {group} user has {MIN_RATINGS} to {MAX_RATINGS} ratings of existing items, "
                "expected some for the melu protocol"
            )
    return quadrants


def _quadrant(events: Events, users: NDArray[np.int64], items: NDArray[np.bool_]) -> Quadrant:
    rated = RatedUsers(users, of_items(events.select(users), items))
    lengths = rated.events.lengths()
    rated = rated.select(np.flatnonzero((lengths >= MIN_RATINGS) & (lengths <= MAX_RATINGS)))
    support, query = divide(rated.events, np.full(len(rated.users), MAX_QUERY))
    return Quadrant(RatedUsers(rated.users, support), query)


def _years(item_ids: list[str], items: Table | None) -> NDArray[np.float64] | None:
    """Year by item row, −inf for items without year; None without a usable column."""
    if items is None or "year" not in items.frame.columns:
        return None
    described = items.frame.select(pl.col("item_id").cast(pl.String), pl.col("year").cast(pl.Float64, strict=False))
    dated = described.filter(pl.col("year").is_finite()).unique("item_id", keep="last")
    catalogue = pl.DataFrame({"item_id": item_ids}).join(dated, on="item_id", how="left", maintain_order="left")
    years = catalogue["year"].fill_null(float("-inf")).to_numpy()
    return years if np.isfinite(years).any() else None


def _first_new(when: NDArray[np.float64]) -> float:
    """The earliest point from which on at most a fifth of ``when`` lies; the last point if even that is more."""
    points, counts = np.unique(when, return_counts=True)
    since = counts[::-1].cumsum()[::-1]
    few = since <= NEW_SHARE * len(when)
    return float(points[few.argmax()] if few.any() else points[-1])
