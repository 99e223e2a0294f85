"""Bundles of the same catalogue are recognised by their items, also after another training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.bundle import Catalogue
from model_store.bundle.features import Features
from model_store.bundle.items import write_catalogue
from service.core.identity import CatalogueMark

Items = Mapping[str, str]


def catalogue(items: Items) -> Catalogue:
    """A catalogue from item id → title, "" for no title."""
    with TemporaryDirectory() as folder:
        rows = [
            {"item_id": item_id, "title": title} if title else {"item_id": item_id} for item_id, title in items.items()
        ]
        vectors = np.zeros((len(rows), 2), dtype=np.float32)
        neighbours = np.zeros((len(rows), 1), dtype=np.int32)
        write_catalogue(Path(folder), rows, vectors, neighbours, neighbours.astype(np.float32), Features([]))
        return Catalogue(Path(folder))


def recognises(first: Items, second: Items) -> bool:
    """True if the mark of the first catalogue, encoded and decoded, matches the second."""
    mark = CatalogueMark.decode(CatalogueMark.of("v1", catalogue(first)).encode())
    return mark.is_of(catalogue(second))


def titled(numbers: range, title: str = "Film") -> Items:
    return {str(number): f"{title} {number}" for number in numbers}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (titled(range(1, 301)), titled(range(1, 301))),
        (titled(range(1, 301)), titled(range(200, 501))),  # new items come, old ones go
        (titled(range(3000)), titled(range(2000, 5000))),
        (titled(range(50)), titled(range(20_000))),  # a pilot, then everything
        (titled(range(20_000)), titled(range(2000))),  # everything, then a part
        (titled(range(300)), dict.fromkeys(titled(range(300)), "")),  # trained without a table of items
        (dict.fromkeys(titled(range(300)), ""), titled(range(300))),
        (titled(range(300)), {number: f" {title.upper()}" for number, title in titled(range(300)).items()}),
        ({"a": "One"}, {"a": "One"}),
    ],
)
def test_a_retrained_catalogue_is_recognised(first: Items, second: Items) -> None:
    assert recognises(first, second)
    assert recognises(second, first)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (titled(range(1, 301)), titled(range(1, 301), "Soap")),  # both count from 1
        (titled(range(3000)), titled(range(5000), "Soap")),
        (titled(range(1, 301)), titled(range(1001, 1301))),
        (dict.fromkeys(map(str, range(300)), ""), dict.fromkeys(map(str, range(1000, 1300)), "")),
        (titled(range(9000)), {str(number): "" for number in range(9000, 9300)}),
        (titled(range(3000)), titled(range(2990, 6000))),  # ten items in common, as in two shops of one chain
    ],
)
def test_another_data_set_is_another_catalogue(first: Items, second: Items) -> None:
    assert not recognises(first, second)
    assert not recognises(second, first)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(0, 1500))
def test_catalogues_that_share_half_of_one_are_the_same(first: int, second: int, start: int) -> None:
    some, more = titled(range(first)), titled(range(start, start + second))
    shared = len(some.keys() & more.keys())
    if shared >= 0.5 * min(first, second) and min(first, second) >= 20:
        assert recognises(some, more)
    if not shared:
        assert not recognises(some, more)


@pytest.mark.parametrize(
    "stored", [b"", b"garbage", b"[]", b"{}", b'{"bundle":"a","last_crc":"x","titles":{}}', b"\xff"]
)
def test_damaged_marks_are_refused(stored: bytes) -> None:
    with pytest.raises(ValueError, match="not the mark of a catalogue"):
        CatalogueMark.decode(stored)
