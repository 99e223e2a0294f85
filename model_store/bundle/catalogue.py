"""The catalogue of a bundle: row ↔ stable item id, vectors, neighbours, metadata; memory-mapped.

``items.jsonl`` holds one JSON object a row with at least ``item_id``; ``items.offsets.npy`` says where
each row starts, so that a row's text goes into an answer as it stands, never parsed.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from model_store.errors import BundleDamaged

UNKNOWN_ROW = -1


class Catalogue:
    """Read-only view of the item files of one bundle.

    Attributes:
        ids: stable item ids by row.
        vectors: float32 (n_items, state_dim), memory-mapped.
        neighbour_rows: int32 (n_items, neighbours), memory-mapped; unused places hold row 0 with weight 0.
        neighbour_weights: float32 (n_items, neighbours), memory-mapped.
        features: name of an item feature ("categories=Comedy") → its index for ``encode_item.onnx``.
    """

    def __init__(self, folder: Path) -> None:
        """Map the files of ``folder``; raises BundleDamaged where they do not fit each other."""
        self.vectors: NDArray[np.float32] = _load(folder, "items.vectors.npy", np.float32, 2)
        self.neighbour_rows: NDArray[np.int32] = _load(folder, "neighbours.rows.npy", np.int32, 2)
        self.neighbour_weights: NDArray[np.float32] = _load(folder, "neighbours.weights.npy", np.float32, 2)
        # A memoryview gives plain ints, an array would wrap each in an object of its own.
        self._offsets = _load(folder, "items.offsets.npy", np.int64, 1).data
        self._text = _map(folder / "items.jsonl")
        self.ids = self._read_ids(folder / "items.jsonl")
        self._rows = {item_id: row for row, item_id in enumerate(self.ids)}
        self.features = _read_features(folder / "features.json")
        self._check(folder)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._rows

    def rows(self, item_ids: Iterable[str]) -> NDArray[np.int64]:
        """Rows of ``item_ids``, int64 (len,); ``UNKNOWN_ROW`` for those the catalogue does not have."""
        find = self._rows.get
        return np.fromiter((find(item_id, UNKNOWN_ROW) for item_id in item_ids), dtype=np.int64)

    def json(self, row: int) -> bytes:
        """The row's JSON object as UTF-8 text, without the line's end."""
        return self._text[self._offsets[row] : self._offsets[row + 1] - 1]

    def _read_ids(self, path: Path) -> list[str]:
        try:
            ids = [orjson.loads(line)["item_id"] for line in self._lines()]
        except (ValueError, KeyError, TypeError) as exc:
            raise BundleDamaged(f"{path}: a row is no JSON object with an item_id ({exc})") from exc
        if not all(isinstance(item_id, str) for item_id in ids):
            raise BundleDamaged(f"{path}: an item_id is no text, expected text in every row")
        return ids

    def _lines(self) -> Iterable[bytes]:
        bounds = self._offsets.tolist()
        return (self._text[start : end - 1] for start, end in pairwise(bounds))

    def _check(self, folder: Path) -> None:
        for name, array in (
            ("items.vectors.npy", self.vectors),
            ("neighbours.rows.npy", self.neighbour_rows),
            ("neighbours.weights.npy", self.neighbour_weights),
        ):
            if len(array) != len(self.ids):
                raise BundleDamaged(f"{folder / name}: {len(array)} rows, expected {len(self.ids)} as in items.jsonl")
        if len(self._rows) != len(self.ids):
            raise BundleDamaged(f"{folder / 'items.jsonl'}: an item_id stands twice, expected each once")


def write_catalogue(
    folder: Path,
    items: Sequence[dict[str, Any]],
    vectors: NDArray[np.float32],
    neighbour_rows: NDArray[np.int32],
    neighbour_weights: NDArray[np.float32],
    features: dict[str, int],
) -> None:
    """Write the item files that :class:`Catalogue` reads; ``items`` by row, each with ``item_id``."""
    lines = [orjson.dumps(item) + b"\n" for item in items]
    (folder / "items.jsonl").write_bytes(b"".join(lines))
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)
    np.save(folder / "items.offsets.npy", offsets)
    np.save(folder / "items.vectors.npy", np.ascontiguousarray(vectors, dtype=np.float32))
    np.save(folder / "neighbours.rows.npy", np.ascontiguousarray(neighbour_rows, dtype=np.int32))
    np.save(folder / "neighbours.weights.npy", np.ascontiguousarray(neighbour_weights, dtype=np.float32))
    (folder / "features.json").write_bytes(orjson.dumps(features))


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


def _read_features(path: Path) -> dict[str, int]:
    try:
        features: dict[str, int] = orjson.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise BundleDamaged(f"{path}: cannot be read as JSON ({exc})") from exc
    return features


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as exc:
        raise BundleDamaged(f"{path}: cannot be mapped ({exc})") from exc
