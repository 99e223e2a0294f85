"""Quadrants of the MeLU protocol: users by their number of ratings, items by their age."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_store.data.schema import Events
from model_store.data.sources import prepare, read_source
from model_store.data.split import UserSplit
from model_store.errors import DataError
from model_store.studies.ratings.quadrants import NEW_BOTH, NEW_ITEMS, NEW_USERS, WARM, find_new_items, make_quadrants


def counted(*users: tuple[int, int]) -> Events:
    """Users by their number of ratings of existing items (0 … 149) and of new items (150 … 299), mixed."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation([*range(old), *range(150, 150 + new)]) for old, new in users]
    items = np.concatenate(rows).astype(np.int32)
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Events(indptr, items, (1 + items % 5).astype(np.float32), np.zeros(len(items)))


NEW = np.arange(300) >= 150


def split_of(train: list[int], validation: list[int], test: list[int]) -> UserSplit:
    return UserSplit(*(np.array(users, dtype=np.int64) for users in (train, validation, test)))


def test_a_user_belongs_to_a_quadrant_with_13_to_100_ratings_of_its_items() -> None:
    events = counted((13, 12), (100, 13), (12, 100), (101, 101), (50, 0), (20, 40), (12, 13), (14, 101))
    quadrants = make_quadrants(events, split_of([0, 1, 2, 3], [4], [5, 6, 7]), NEW)
    users = {name: quadrant.support.users.tolist() for name, quadrant in quadrants.items()}
    assert users == {WARM: [0, 1, 4], NEW_USERS: [5, 7], NEW_ITEMS: [1, 2], NEW_BOTH: [5, 6]}


def test_the_last_ten_ratings_of_a_quadrants_items_are_the_query() -> None:
    events = counted((30, 15), (20, 20), (25, 13))
    quadrants = make_quadrants(events, split_of([0], [1], [2]), NEW)
    for name, users, new in ((WARM, [0, 1], False), (NEW_USERS, [2], False), (NEW_ITEMS, [0, 1], True)):
        quadrant = quadrants[name]
        for row, user in enumerate(users):
            items = events.items[events.user(user)]
            expected = [item for item in items.tolist() if NEW[item] == new]
            support, query = quadrant.support.events, quadrant.query
            assert support.items[support.user(row)].tolist() == expected[:-10]
            assert query.items[query.user(row)].tolist() == expected[-10:]
            assert quadrant.values()[row].tolist() == [1 + item % 5 for item in expected[-10:]]


@pytest.mark.parametrize(("train", "validation", "group"), [([0], [1], "training"), ([1], [0], "validation")])
def test_data_without_enough_ratings_is_refused_by_group(train: list[int], validation: list[int], group: str) -> None:
    with pytest.raises(DataError, match=f"no {group} user has 13 to 100 ratings of existing items"):
        make_quadrants(counted((12, 0), (20, 0), (20, 0)), split_of(train, validation, [2]), NEW)


def new_items_of(folder: Path, interactions: dict, items: dict | None = None) -> tuple[list[str], str]:
    pl.DataFrame(interactions).write_parquet(folder / "interactions.parquet")
    if items is not None:
        pl.DataFrame(items).write_parquet(folder / "items.parquet")
    tables = read_source(str(folder))
    dataset = prepare(str(folder), tables).dataset
    new_items = find_new_items(dataset, tables.items, seed=0)
    return [dataset.item_ids[row] for row in np.flatnonzero(new_items.new)], new_items.rule


ITEMS = [f"i{number}" for number in range(10)]
RATED = {"user_id": ["a", "b"] * 5, "item_id": ITEMS, "value": [1.0, 2.0, 3.0, 4.0, 5.0] * 2}


@pytest.mark.parametrize(
    ("years", "expected", "rule"),
    [
        ([1990] * 8 + [1998, 1999], ["i8", "i9"], "year >= 1998"),
        ([1990] * 7 + [1998, 1998, 1999], ["i9"], "year >= 1999"),
        ([None, *[1990] * 7, 1999, 1999], ["i8", "i9"], "year >= 1999"),
        ([1990] * 7 + [1999] * 3, ["i7", "i8", "i9"], "year >= 1999"),
    ],
)
def test_the_newest_fifth_by_year_is_new(tmp_path: Path, years: list, expected: list[str], rule: str) -> None:
    assert new_items_of(tmp_path, RATED, {"item_id": ITEMS, "year": years}) == (expected, rule)


def test_without_years_the_items_with_the_latest_first_event_are_new(tmp_path: Path) -> None:
    timed = {**RATED, "timestamp": [9, 1, 2, 3, 8, 4, 5, 6, 7, 0]}
    assert new_items_of(tmp_path, timed) == (["i0", "i4"], "latest first event")


def test_without_years_and_time_new_items_are_drawn(tmp_path: Path) -> None:
    items, rule = new_items_of(tmp_path, RATED)
    assert len(items) == 2
    assert rule == "random, seeded"
