"""The catalogue finds rows and ids by the mapped files alone, and refuses files that do not fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import UNKNOWN_ROW, Catalogue
from model_store.bundle.features import Features
from model_store.bundle.items import write_catalogue
from model_store.errors import BundleDamaged

ALIKE = ("plumless", "buckeroo")  # words with one CRC-32
TITLE = "é, “quoted”, and\nnew"


def write(folder: Path, item_ids: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    count = len(item_ids)
    write_catalogue(
        folder,
        [{"item_id": item_id, "title": TITLE} for item_id in item_ids],
        np.zeros((count, 3), np.float32),
        np.zeros((count, 2), np.int32),
        np.zeros((count, 2), np.float32),
        Features([]),
    )
    return folder


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=30, unique=True))
def test_every_id_leads_to_its_row_and_back(tmp_path_factory: pytest.TempPathFactory, item_ids: list[str]) -> None:
    catalogue = Catalogue(write(tmp_path_factory.mktemp("catalogue"), item_ids))
    assert list(catalogue.ids) == item_ids
    assert catalogue.rows(item_ids).tolist() == list(range(len(item_ids)))
    assert catalogue.rows([f"{item_ids[0]}?"]).tolist() == [
        item_ids.index(f"{item_ids[0]}?") if f"{item_ids[0]}?" in item_ids else UNKNOWN_ROW
    ]


def test_ids_are_a_sequence(tmp_path: Path) -> None:
    ids = Catalogue(write(tmp_path, ["a", "b", "c"])).ids
    assert (ids[0], ids[-1], ids[1:], len(ids), ids.index("c")) == ("a", "c", ["b", "c"], 3, 2)
    with pytest.raises(IndexError):
        ids[3]


def test_ids_with_one_checksum_are_told_apart(tmp_path: Path) -> None:
    first, second = ALIKE
    assert crc32(first.encode()) == crc32(second.encode())
    both = Catalogue(write(tmp_path / "both", [second, "x", first]))
    assert both.rows([first, second]).tolist() == [2, 0]
    one = Catalogue(write(tmp_path / "one", ["x", first]))
    assert first in one
    assert second not in one


def test_an_id_that_no_text_can_hold_is_unknown(tmp_path: Path) -> None:
    catalogue = Catalogue(write(tmp_path, ["a"]))
    assert catalogue.rows(["\ud800", ""]).tolist() == [UNKNOWN_ROW, UNKNOWN_ROW]
    assert 1 not in catalogue


def test_a_catalogue_without_keys_is_read_all_the_same(tmp_path: Path) -> None:
    (write(tmp_path, ["b", "a"]) / "items.keys.npy").unlink()
    assert Catalogue(tmp_path).rows(["a", "b"]).tolist() == [1, 0]


def test_item_id_stands_first_wherever_it_was(tmp_path: Path) -> None:
    write_catalogue(
        tmp_path,
        [{"title": TITLE, "item_id": "a"}],
        np.zeros((1, 3), np.float32),
        np.zeros((1, 2), np.int32),
        np.zeros((1, 2), np.float32),
        Features([]),
    )
    catalogue = Catalogue(tmp_path)
    assert catalogue.open_json([0])[0].startswith(b'{"item_id":"a","title":')
    assert catalogue.rows(["a"]).tolist() == [0]


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleDamaged, match=r"items\.jsonl.*twice"):
        Catalogue(write(tmp_path, ["a", "b", "a"]))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("items.keys.npy", lambda keys: keys[::-1]),
        ("items.keys.npy", lambda keys: np.concatenate([keys[:-1], keys[:1]])),
        ("items.keys.npy", lambda keys: keys[:-1]),
        ("items.offsets.npy", lambda offsets: offsets + 1),
        ("items.offsets.npy", lambda offsets: offsets[[0, 2, 1, 3]]),
        ("items.offsets.npy", lambda offsets: offsets[:-1]),
    ],
)
def test_files_that_do_not_fit_the_items_are_refused_by_name(tmp_path: Path, name: str, damage) -> None:
    write(tmp_path, ["a", "b", "c"])
    np.save(tmp_path / name, damage(np.load(tmp_path / name)))
    with pytest.raises(BundleDamaged, match=name.replace(".", r"\.")):
        Catalogue(tmp_path)
