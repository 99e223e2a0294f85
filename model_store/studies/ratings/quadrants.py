"""MeLU's protocol: users and items are existing or new, and each of the four combinations is judged by itself.

Lee et al., MeLU: Meta-Learned User Preference Estimator for Cold-Start Recommendation, KDD 2019 (arXiv:1908.00413),
section 4.1, and as in the authors' data preparation: a user stands in a quadrant with the ratings of its items only, if
those are 13 to 100; the last 10 are asked and the rest is told. Training sees what existing users told about existing
items, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.data.schema import Dataset, Events
from model_store.data.split import UserSplit
from model_store.data.tables import Table
from model_store.errors import DataError
from model_store.studies.ratings.episodes import MAX_QUERY, RatedUsers, divide, of_items

MIN_RATINGS, MAX_RATINGS = 13, 100
NEW_SHARE = 0.2
WARM, NEW_USERS, NEW_ITEMS, NEW_BOTH = "warm", "new users", "new items", "both new"
QUADRANTS = (WARM, NEW_USERS, NEW_ITEMS, NEW_BOTH)


@dataclass(frozen=True)
class NewItems:
    """Which items count as new.

    Attributes:
        new: bool (n_items,).
        rule: how they were found, e.g. "year >= 1998".
    """

    new: NDArray[np.bool_]
    rule: str


@dataclass(frozen=True)
class Quadrant:
    """The users of a quadrant, what they told, and what they are asked: 10 ratings each.

    Attributes:
        support: users and ratings to adapt to.
        query: the ratings to predict, of the same users in the same order.
    """

    support: RatedUsers
    query: Events

    def values(self) -> NDArray[np.float32]:
        """The ratings to predict, float32 (n_users, 10)."""
        return self.query.values.reshape(-1, MAX_QUERY)


def find_new_items(dataset: Dataset, items: Table | None, seed: int) -> NewItems:
    """The newest items, a fifth of the catalogue at most.

    By the ``year`` column of the items where there is one with numbers (on ML-1M that is the paper's split, from
    1998 on); else by the first event of each item where events carry time; else at random.
    """
    years = _years(dataset.item_ids, items)
    if years is not None:
        first = _first_new(years)
        return NewItems(years >= first, f"year >= {first:g}")
    if dataset.has_time:
        seen = np.full(dataset.n_items, np.inf)
        np.minimum.at(seen, dataset.events.items, dataset.events.times)
        first = _first_new(seen[np.isfinite(seen)])
        return NewItems(np.isfinite(seen) & (seen >= first), "latest first event")
    new = np.zeros(dataset.n_items, dtype=np.bool_)
    drawn = np.random.default_rng(seed).permutation(dataset.n_items)
    new[drawn[: int(NEW_SHARE * dataset.n_items)]] = True
    return NewItems(new, "random, seeded")


def make_quadrants(events: Events, split: UserSplit, new: NDArray[np.bool_]) -> dict[str, Quadrant]:
    """All four quadrants by name; test users are the new ones. A quadrant may be empty, but for the warm one.

    Raises:
        DataError: no existing user has enough ratings of existing items, so that there is nothing to learn from.
    """
    existing = np.sort(np.concatenate([split.train, split.validation]))
    sides = [(existing, ~new), (split.test, ~new), (existing, new), (split.test, new)]
    quadrants = {name: _quadrant(events, *side) for name, side in zip(QUADRANTS, sides, strict=True)}
    for group, users in (("training", split.train), ("validation", split.validation)):
        if not np.isin(quadrants[WARM].support.users, users).any():
            raise DataError(
                f"no {group} user has {MIN_RATINGS} to {MAX_RATINGS} ratings of existing items, "
                "which the melu protocol is about"
            )
    return quadrants


def _quadrant(events: Events, users: NDArray[np.int64], wanted: NDArray[np.bool_]) -> Quadrant:
    rated = RatedUsers(users, of_items(events.select(users), wanted))
    lengths = rated.events.lengths()
    rated = rated.select(np.flatnonzero((lengths >= MIN_RATINGS) & (lengths <= MAX_RATINGS)))
    support, query = divide(rated.events, np.full(len(rated.users), MAX_QUERY))
    return Quadrant(RatedUsers(rated.users, support), query)


def _years(item_ids: list[str], items: Table | None) -> NDArray[np.float64] | None:
    """Year by item row, −inf where unknown; None without a usable column."""
    if items is None or "year" not in items.frame.columns:
        return None
    described = items.frame.select(pl.col("item_id").cast(pl.String), pl.col("year").cast(pl.Float64, strict=False))
    known = described.filter(pl.col("year").is_finite()).unique("item_id", keep="last")
    wanted = pl.DataFrame({"item_id": item_ids}).join(known, on="item_id", how="left", maintain_order="left")
    years = wanted["year"].fill_null(float("-inf")).to_numpy()
    return years if np.isfinite(years).any() else None


def _first_new(when: NDArray[np.float64]) -> float:
    """The earliest point from which on at most a fifth of ``when`` lies; the last one where even that is more."""
    points, counts = np.unique(when, return_counts=True)
    from_here = counts[::-1].cumsum()[::-1]
    few = from_here <= NEW_SHARE * len(when)
    return float(points[few.argmax()] if few.any() else points[-1])
