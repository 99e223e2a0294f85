"""The catalogue of a bundle: row ↔ stable item id, vectors, neighbours, metadata; memory-mapped.

``items.jsonl`` holds one JSON object a row, ``item_id`` first; ``items.offsets.npy`` says where each row starts, so
that a row's text goes into an answer as it stands, never parsed.

``items.keys.npy`` finds the row of an id by bisection: uint64, increasing, the CRC-32 of the id above the row's 32
bits. So nothing has a size in Python objects of the catalogue's: opening a million items takes milliseconds, and
their ids cost a worker no memory of its own beyond the few that are asked for again and again.
"""

from __future__ import annotations

import mmap
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, overload

import numpy as np
import orjson
from numpy.typing import NDArray

from model_store.bundle.features import FEATURES_FILE, Features
from model_store.errors import BundleDamaged

UNKNOWN_ROW = -1
KEYS_FILE = "items.keys.npy"
# Ids, and rows by id, that are kept at hand: all of a middling catalogue, the popular ones of a large one.
KEPT = 1 << 16
ROW_BITS = 32
ROW_MASK = (1 << ROW_BITS) - 1
ROW_START, ROW_END = b'{"item_id":"', b"}\n"


class Ids(Sequence[str]):
    """Stable item ids by row, read from the items' text when they are asked for."""

    def __init__(self, offsets: memoryview, text: mmap.mmap, path: Path) -> None:
        """Take what :class:`Catalogue` has mapped from ``path``."""
        self._offsets = offsets
        self._read = lru_cache(KEPT)(partial(_read_id, offsets, text, path))

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, row: int) -> str: ...

    @overload
    def __getitem__(self, row: slice) -> list[str]: ...

    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return self.at(range(*row.indices(len(self))))
        return self._read(row)

    def at(self, rows: Iterable[int]) -> list[str]:
        """The ids of these rows: a fraction of the time of one after the other."""
        return list(map(self._read, rows))


class Catalogue:
    """Read-only view of the item files of one bundle.

    Attributes:
        ids: stable item ids by row.
        vectors: float32 (n_items, state_dim), memory-mapped.
        neighbour_rows: int32 (n_items, neighbours), memory-mapped; unused places hold row 0 with weight 0.
        neighbour_weights: float32 (n_items, neighbours), memory-mapped.
        features: the item features that ``encode_item.onnx`` knows.
    """

    def __init__(self, folder: Path) -> None:
        """Map the files of ``folder``; raises BundleDamaged where they do not fit each other."""
        self.vectors: NDArray[np.float32] = _load(folder, "items.vectors.npy", np.float32, 2)
        self.neighbour_rows: NDArray[np.int32] = _load(folder, "neighbours.rows.npy", np.int32, 2)
        self.neighbour_weights: NDArray[np.float32] = _load(folder, "neighbours.weights.npy", np.float32, 2)
        offsets = _load(folder, "items.offsets.npy", np.int64, 1)
        self._text = _map(folder / "items.jsonl")
        _check_offsets(folder, offsets, len(self._text))
        _check_rows(folder, offsets, self._text)
        # A memoryview gives plain ints, an array would wrap each in an object of its own.
        self._offsets = offsets.data
        self.ids = Ids(self._offsets, self._text, folder / "items.jsonl")
        keys = _load(folder, KEYS_FILE, np.uint64, 1) if (folder / KEYS_FILE).exists() else item_keys(self.ids)
        self._keys = keys.data
        self._row = lru_cache(KEPT)(partial(_find, self._keys, self.ids))
        self.features = Features.read(folder / FEATURES_FILE)
        self._check(folder)
        _check_keys(folder, keys, self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item_id: object) -> bool:
        return isinstance(item_id, str) and self._row(item_id) != UNKNOWN_ROW

    def rows(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of ``item_ids``, int64 (len,); ``UNKNOWN_ROW`` for those the catalogue does not have."""
        return np.fromiter(map(self._row, item_ids), dtype=np.int64)

    def sample(self, count: int) -> list[tuple[int, str]]:
        """At most ``count`` items as (CRC-32 of the id, id), lowest first: catalogues sample what they share alike."""
        return [(key >> ROW_BITS, self.ids[key & ROW_MASK]) for key in self._keys[:count].tolist()]

    def open_json(self, rows: Iterable[int]) -> list[bytes]:
        """The rows' JSON objects as UTF-8 text, without the closing brace: whoever answers adds to them."""
        text, offsets = self._text, self._offsets
        return [text[offsets[row] : offsets[row + 1] - len(ROW_END)] for row in rows]

    def _check(self, folder: Path) -> None:
        for name, array in (
            ("items.vectors.npy", self.vectors),
            ("neighbours.rows.npy", self.neighbour_rows),
            ("neighbours.weights.npy", self.neighbour_weights),
            (KEYS_FILE, self._keys),
        ):
            if len(array) != len(self.ids):
                raise BundleDamaged(f"{folder / name}: {len(array)} rows, expected {len(self.ids)} as in items.jsonl")


def item_keys(item_ids: Sequence[str]) -> NDArray[np.uint64]:
    """The content of ``items.keys.npy``, uint64 (n_items,); bundles made before that file had none."""
    crcs = np.fromiter(map(_crc, item_ids), dtype=np.uint64, count=len(item_ids))
    return np.sort(crcs << np.uint64(ROW_BITS) | np.arange(len(item_ids), dtype=np.uint64))


def write_catalogue(
    folder: Path,
    items: Sequence[dict[str, Any]],
    vectors: NDArray[np.float32],
    neighbour_rows: NDArray[np.int32],
    neighbour_weights: NDArray[np.float32],
    features: Features,
) -> None:
    """Write the item files that :class:`Catalogue` reads; ``items`` by row, each with ``item_id``."""
    lines = [orjson.dumps({"item_id": item["item_id"], **item}) + b"\n" for item in items]
    (folder / "items.jsonl").write_bytes(b"".join(lines))
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    np.save(folder / "items.offsets.npy", offsets)
    np.save(folder / KEYS_FILE, item_keys([item["item_id"] for item in items]))
    np.save(folder / "items.vectors.npy", np.ascontiguousarray(vectors, dtype=np.float32))
    np.save(folder / "neighbours.rows.npy", np.ascontiguousarray(neighbour_rows, dtype=np.int32))
    np.save(folder / "neighbours.weights.npy", np.ascontiguousarray(neighbour_weights, dtype=np.float32))
    features.write(folder / FEATURES_FILE)


# Functions, not methods: a cache of a bound method would make the catalogue part of a reference cycle, which the
# service does not allow: see service/server/memory.py.
def _read_id(offsets: memoryview, text: mmap.mmap, path: Path, row: int) -> str:
    if row < 0:
        row += len(offsets) - 1
    # Beyond the last row there is no offset: IndexError, as of any sequence.
    line = text[offsets[row] : offsets[row + 1] - 1]
    try:
        item_id = orjson.loads(line)["item_id"]
    except (ValueError, KeyError, TypeError) as exc:
        raise BundleDamaged(f"{path}: row {row} is no JSON object with an item_id ({exc})") from exc
    if not isinstance(item_id, str):
        raise BundleDamaged(f"{path}: row {row} has item_id {item_id!r}, expected text")
    return item_id


def _find(keys: memoryview, ids: Ids, item_id: str) -> int:
    """Row of an item. Ids with equal CRC-32 are neighbours in ``keys``, a few in a million."""
    first = _crc(item_id) << ROW_BITS
    for position in range(bisect_left(keys, first), len(keys)):
        key: int = keys[position]
        if key > first | ROW_MASK:
            break
        if ids[key & ROW_MASK] == item_id:
            return key & ROW_MASK
    return UNKNOWN_ROW


def _crc(item_id: str) -> int:
    return zlib.crc32(item_id.encode("utf-8", "surrogatepass"))


def _check_offsets(folder: Path, offsets: NDArray[np.int64], size: int) -> None:
    """Check that every row lies within the text; otherwise a read would return another row or nothing."""
    whole = len(offsets) > 1 and offsets[0] == 0 and offsets[-1] == size and bool((np.diff(offsets) > 0).all())
    if not whole:
        raise BundleDamaged(
            f"{folder / 'items.offsets.npy'}: {len(offsets)} offsets, expected increasing ones from 0 to {size}"
        )


def _check_rows(folder: Path, offsets: NDArray[np.int64], text: mmap.mmap) -> None:
    """Check that every row begins and ends like a row, for all rows at once and without parsing them."""
    letters, starts, ends = np.frombuffer(text, dtype=np.uint8), offsets[:-1], offsets[1:]
    whole = ends - starts > len(ROW_START) + len(ROW_END)
    for position, letter in enumerate(ROW_START):
        whole &= letters.take(starts + position, mode="clip") == letter
    for position, letter in enumerate(ROW_END):
        whole &= letters[ends - len(ROW_END) + position] == letter
    if not whole.all():
        row = int(np.argmin(whole))
        raise BundleDamaged(
            f"{folder / 'items.jsonl'}: row {row} starts with {text[starts[row] : ends[row]][:40]!r}, "
            f"expected one JSON object with a text item_id first"
        )


def _check_keys(folder: Path, keys: NDArray[np.uint64], ids: Ids) -> None:
    """Keys must name every row once, and no id may stand twice."""
    rows, crcs = keys & np.uint64(ROW_MASK), keys >> np.uint64(ROW_BITS)
    if not np.array_equal(np.sort(rows), np.arange(len(keys), dtype=np.uint64)) or bool((keys[1:] < keys[:-1]).any()):
        raise BundleDamaged(f"{folder / KEYS_FILE}: expected increasing keys that name each row once")
    alike = np.isin(crcs, crcs[1:][crcs[1:] == crcs[:-1]])
    doubtful = [ids[row] for row in rows[alike].tolist()]
    if len(set(doubtful)) != len(doubtful):
        raise BundleDamaged(f"{folder / 'items.jsonl'}: an item_id stands twice, expected each once")


def _load(folder: Path, name: str, dtype: type[np.generic], ndim: int) -> NDArray[Any]:
    path = folder / name
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as exc:
        raise BundleDamaged(f"{path}: cannot be read as an array ({exc})") from exc
    array = array.view(np.ndarray)  # still mapped, but cheaper to index than a memmap
    if array.dtype != dtype or array.ndim != ndim:
        raise BundleDamaged(f"{path}: {array.dtype} with {array.ndim} axes, expected {np.dtype(dtype)} with {ndim}")
    return array


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as exc:
        raise BundleDamaged(f"{path}: cannot be mapped ({exc})") from exc
