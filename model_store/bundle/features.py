"""Features of an item, encoded alike where a bundle is learned and where it is served.

| value           | names of its features                                                                   |
|-----------------|-----------------------------------------------------------------------------------------|
| text            | tags, ``genre=Comedy``, several where "|" separates them; ``plot~toy``, one per word,   |
|                 | where the names of the column are words                                                 |
| boolean, number | as an attribute of a user: ``sequel=true``, the bin ``year=1990..1994``                  |
| list of text    | one per tag                                                                             |
| list of numbers | one per coordinate, ``image[3]``, weighted by it                                        |

Text is read as ``attributes`` reads it: "['Comedy', 'Drama']" as a list, "1994" as a number where the column has bins,
"[0.1, 0.2]" as a vector where it has coordinates. The names of the features say all that encoding takes, so an item
that is posted later is encoded like those that the names were learned from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from model_store.bundle.attributes import Attributes, Encoded, Value
from model_store.bundle.cells import is_finite, list_of, number_of
from model_store.errors import BundleDamaged

FEATURES_FILE = "features.json"
# Between these the square of a number is neither 0 nor infinite.
SQUARES = (1e-100, 1e100)

# A list of numbers is a vector, one of text is tags.
FeatureValue = Value | list[float]
_WORD = re.compile(r"[^\W_]{2,}")
_COORDINATE = re.compile(r"(.+)\[(\d+)\]", re.DOTALL)


class EncodedItems(NamedTuple):
    """Features of many items, in CSR form.

    Attributes:
        indptr: int64 (n_items + 1,).
        ids: int64 (nnz,), increasing within an item.
        weights: float32 (nnz,). Features of one column get unit L2 norm, then all features of the item.
    """

    indptr: NDArray[np.int64]
    ids: NDArray[np.int64]
    weights: NDArray[np.float32]


class _Entries(NamedTuple):
    """One entry per item and feature: item row int64 (n,), feature id int64 (n,), weight float64 (n,)."""

    rows: NDArray[np.int64]
    ids: NDArray[np.int64]
    weights: NDArray[np.float64]


_NO_ENTRIES = _Entries(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))

NO_FEATURES = Encoded(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32))


class Features:
    """The item features that a bundle knows.

    Attributes:
        names: name by id, e.g. "genre=Comedy", "plot~toy", "image[3]".
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._ids = {name: index for index, name in enumerate(self.names)}
        self._tags = Attributes(self.names)
        self._prose = {name[:mark] for name in self.names for mark, character in enumerate(name) if character == "~"}
        self._coordinates = _coordinates(self.names)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote; raises BundleDamaged where it is something else."""
        try:
            ids = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise BundleDamaged(f"{path}: cannot be read as JSON ({exc})") from exc
        if not (isinstance(ids, dict) and sorted(ids.values(), key=str) == sorted(range(len(ids)), key=str)):
            raise BundleDamaged(f"{path}: expected a JSON object of feature names, numbered from 0")
        return cls(sorted(ids, key=ids.__getitem__))

    def write(self, path: Path) -> None:
        """Keep the names as a JSON object, name → id."""
        path.write_bytes(orjson.dumps(self._ids))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, item: Mapping[str, FeatureValue]) -> Encoded:
        """Encode one item, column → value. Values without a feature are ignored."""
        encoded = self.encode_columns({column: [value] for column, value in item.items()}, 1)
        return Encoded(encoded.ids, encoded.weights) if len(encoded.ids) else NO_FEATURES

    def encode_columns(self, columns: Mapping[str, Sequence[FeatureValue | None]], n_items: int) -> EncodedItems:
        """Encode many items: of each column one value per item, None where it is missing."""
        # By name, so that the order of the columns changes no bit of what is computed from them.
        by_column = [self._entries(column, columns[column]) for column in sorted(columns)]
        entries = _concatenated([_unit_norm(entries, n_items) for entries in by_column])
        rows, ids, weights = _unit_norm(entries, n_items)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_items))]).astype(np.int64)
        return EncodedItems(indptr, ids, weights.astype(np.float32))

    def _entries(self, column: str, values: Sequence[FeatureValue | None]) -> _Entries:
        """Entries of one column, increasing by row and feature."""
        encode = self._encoder(column)
        # Catalogues repeat texts, such as genres.
        by_text = {text: encode(text) for text in {value for value in values if isinstance(value, str)}}
        weights = [
            by_text[value] if isinstance(value, str) else {} if value is None else encode(value) for value in values
        ]
        lengths = [len(features) for features in weights]
        count = sum(lengths)
        return _Entries(
            np.arange(len(values)).repeat(lengths),
            np.fromiter((index for features in weights for index in features), np.int64, count),
            np.fromiter((weight for features in weights for weight in features.values()), np.float64, count),
        )

    def _encoder(self, column: str) -> Callable[[FeatureValue], dict[int, float]]:
        """The function from a value of the column to its features and their weights, increasing by feature."""
        if column in self._coordinates:
            return partial(_coordinate_weights, self._coordinates[column])
        if column in self._prose:
            return partial(self._word_weights, column)
        return partial(self._tag_weights, column)

    def _word_weights(self, column: str, value: FeatureValue) -> dict[int, float]:
        if not isinstance(value, str):
            return {}
        ids = (self._ids.get(f"{column}~{word}") for word in words_of(value))
        return dict.fromkeys(sorted({index for index in ids if index is not None}), 1.0)

    def _tag_weights(self, column: str, value: FeatureValue) -> dict[int, float]:
        ids = {index for _, index in self._tags.parts(column, value) if index is not None}
        return dict.fromkeys(sorted(ids), 1.0)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case: two letters or digits and more."""
    return _WORD.findall(text.lower())


def _coordinate_weights(ids: Mapping[int, int], value: FeatureValue) -> dict[int, float]:
    """Weights of a vector's coordinates, of which ``ids`` maps the position to the feature; zeros are left out."""
    elements = list_of(value) if isinstance(value, str) else value
    if not isinstance(elements, list):
        return {}
    numbers = [number_of(element) if isinstance(element, str) else element for element in elements]
    weights = {ids[position]: number for position, number in enumerate(numbers) if number and position in ids}
    return {index: float(weights[index]) for index in sorted(weights) if is_finite(weights[index])}


def _coordinates(names: Sequence[str]) -> dict[str, dict[int, int]]:
    """Column → (position of a coordinate → its id)."""
    columns: dict[str, dict[int, int]] = {}
    for index, match in enumerate(map(_COORDINATE.fullmatch, names)):
        if match:
            columns.setdefault(match[1], {})[int(match[2])] = index
    return columns


def _concatenated(by_column: Sequence[_Entries]) -> _Entries:
    """Entries of all columns, increasing by row and feature."""
    rows, ids, weights = (np.concatenate(arrays) for arrays in zip(_NO_ENTRIES, *by_column, strict=True))
    order = np.lexsort((ids, rows))
    return _Entries(rows[order], ids[order], weights[order])


def _unit_norm(entries: _Entries, n_items: int) -> _Entries:
    """The entries with a weight other than 0, scaled to an L2 norm of 1 per row."""
    rows, ids, weights = (array[entries.weights != 0] for array in entries)
    largest = np.zeros(n_items)
    np.maximum.at(largest, rows, np.abs(weights))
    extreme = (largest < SQUARES[0]) | (largest > SQUARES[1])
    if extreme.any():
        weights = weights / np.where(extreme, largest, 1.0)[rows]
    norms = np.sqrt(np.bincount(rows, weights**2, minlength=n_items))
    return _Entries(rows, ids, weights / norms[rows])
