"""Attributes of users, encoded the same way in training and in the service.

| value   | names of its attributes                                                               |
|---------|---------------------------------------------------------------------------------------|
| text    | ``gender=F``; several if "|" separates them                                           |
| boolean | ``member=true``                                                                       |
| number  | the bin that holds it, ``age=18..24``; ``floor=3`` if the column has no bins          |
| list    | one per tag, ``likes=jazz``                                                           |

Text that is not the name of an attribute is read again, by the rules of ``cells``:

- "['jazz', 'rock']" as a list;
- "jazz, rock" as tags, if the column has one of them and no tag with a comma;
- "20" and "1990-05-01" as a number and a year, if the column has bins;
- "True" and "yes" as booleans.

A boolean counts as 0 or 1 if the column has these bins; 0 and 1 count as booleans if it has those. Leading zeros
count: "02139" is not 2139.

The names hold everything that encoding needs, as with item features. A number outside all bins, or between two, goes
to the last bin that starts at or below it, else to the first, as in ``model_store.content.bins``.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from model_store.bundle.cells import (
    BOOLEANS,
    MISSING,
    SEPARATORS,
    boolean_of,
    date_of,
    is_finite,
    list_of,
    number_of,
    parts_of,
    text_of,
    year_fraction,
)
from model_store.errors import BundleDamaged

ATTRIBUTES_FILE = "attributes.json"

Value = str | float | bool | list[str]
Part = tuple[str, int | None]

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_LEADING_ZERO = re.compile(r"0\d")
_SPELLINGS = {
    truth: [form for word in BOOLEANS if BOOLEANS[word] is truth for form in (word, word.capitalize(), word.upper())]
    for truth in (True, False)
}
_BIN = re.compile(rf"(.+)=({_NUMBER})\.\.{_NUMBER}", re.DOTALL)


class Encoded(NamedTuple):
    """A user's attributes, increasing by id.

    Attributes:
        ids: int64 (A,), A ≥ 1; a user without attributes has id 0 with weight 0.
        weights: float32 (A,) with unit L2 norm; all columns weigh the same, and so do all tags of a column.
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]


NO_ATTRIBUTES = Encoded(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32))


class Attributes:
    """The attributes of a bundle.

    Attributes:
        names: name by id, e.g. "gender=F", "age=18..24".
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._ids = {name: index for index, name in enumerate(self.names)}
        self._bins = _bins(self.names)
        self._marked = _marked(self.names)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file of :meth:`write`; raises BundleDamaged if it holds anything else."""
        try:
            names = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise BundleDamaged(f"{path}: cannot be read as JSON ({exc})") from exc
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise BundleDamaged(f"{path}: expected a JSON array of attribute names")
        return cls(names)

    def write(self, path: Path) -> None:
        """Write the names as a JSON array."""
        path.write_bytes(orjson.dumps(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, values: Mapping[str, Value]) -> Encoded:
        """Encode ``values`` (column → value); parts that match no attribute are ignored."""
        columns = [{part_id for _, part_id in self.parts(*item) if part_id is not None} for item in values.items()]
        encoded = [ids for ids in columns if ids]
        if not encoded:
            return NO_ATTRIBUTES
        # By id, so that the order of the columns does not change the bits of later sums.
        pairs = sorted((part_id, 1 / math.sqrt(len(ids) * len(encoded))) for ids in encoded for part_id in ids)
        ids, weights = zip(*pairs, strict=True)
        return Encoded(np.array(ids, dtype=np.int64), np.array(weights, dtype=np.float32))

    def unknown(self, values: Mapping[str, Value]) -> list[tuple[str, str]]:
        """Column and text of every part of ``values`` that :meth:`encode` ignores."""
        parts = ((column, *part) for column, value in values.items() for part in self.parts(column, value))
        return [(column, text) for column, text, part_id in parts if part_id is None]

    def parts(self, column: str, value: Value | list[float]) -> list[Part]:
        """The texts of a value with their ids, None without an attribute; elements of a list are tags."""
        if isinstance(value, bool):
            return [(text_of(value), self._boolean(column, truth=value))]
        if isinstance(value, str):
            return self._of_text(column, value)
        if isinstance(value, list):
            return [(text, self._id(column, text)) for text in _distinct(value)]
        return [(text_of(value), self._number(column, value))]

    def _id(self, column: str, text: str) -> int | None:
        return self._ids.get(f"{column}={text}")

    def _of_text(self, column: str, text: str) -> list[Part]:
        index = self._id(column, text.strip())
        if index is not None and "|" not in text:
            return [(text.strip(), index)]
        elements = list_of(text) if index is None else None
        if elements is not None:
            tags = [tag for tag in _distinct(elements) if tag not in MISSING]
            return [(tag, self._id(column, tag)) for tag in tags]
        return [part for tag in _distinct(text.split("|")) for part in self._of_tag(column, tag)]

    def _of_tag(self, column: str, text: str) -> list[Part]:
        """The whole text, else its number or boolean, else its tags between separators."""
        index = self._id(column, text)
        if index is None:
            index = self._reread(column, text)
        if index is None:
            for mark in SEPARATORS:
                parts = [(part, self._id(column, part)) for part in _distinct(parts_of(text, mark))]
                if (column, mark) not in self._marked and any(part_id is not None for _, part_id in parts):
                    return parts
        return [(text, index)]

    def _reread(self, column: str, text: str) -> int | None:
        """Id of ``text`` read as a date, a number or a boolean."""
        day = date_of(text) if column in self._bins else None
        if day is not None:
            return self._number(column, year_fraction(day))
        number = None if _LEADING_ZERO.match(text) else number_of(text)
        if number is not None:
            return self._number(column, number)
        truth = boolean_of(text)
        return None if truth is None else self._boolean(column, truth=truth)

    def _number(self, column: str, number: float) -> int | None:
        bins = self._bins.get(column)
        if bins and is_finite(number):
            return bins[max(bisect_right(bins, (float(number), math.inf)) - 1, 0)][1]
        index = self._id(column, text_of(number))
        return self._spelled(column, truth=number == 1) if index is None and number in (0, 1) else index

    def _boolean(self, column: str, *, truth: bool) -> int | None:
        index = self._spelled(column, truth=truth)
        of_bits = index is None and {low for low, _ in self._bins.get(column, [])} == {0.0, 1.0}
        return self._number(column, float(truth)) if of_bits else index

    def _spelled(self, column: str, *, truth: bool) -> int | None:
        """Id of a boolean in any spelling: "true" in today's bundles, the spelling of a CSV file in older ones."""
        indices = (self._id(column, word) for word in _SPELLINGS[truth])
        return next((index for index in indices if index is not None), None)


def _marked(names: Sequence[str]) -> set[tuple[str, str]]:
    """Columns and the separators inside their tags. "a=b=c" is tag "b=c" of "a", or tag "c" of "a=b"."""
    splits = [(name, position) for name in names for position, character in enumerate(name) if character == "="]
    return {(name[:position], mark) for name, position in splits for mark in SEPARATORS if mark in name[position + 1 :]}


def _bins(names: Sequence[str]) -> dict[str, list[tuple[float, int]]]:
    """Column → (start of a bin, its id), increasing."""
    by_column: dict[str, list[tuple[float, int]]] = {}
    for index, match in enumerate(map(_BIN.fullmatch, names)):
        if match:
            by_column.setdefault(match[1], []).append((float(match[2]), index))
    return {column: sorted(bins) for column, bins in by_column.items()}


def _distinct(values: Sequence[str | float]) -> list[str]:
    """Distinct texts of values, without blanks around them and without empty ones."""
    return [text for text in dict.fromkeys(text_of(value).strip() for value in values) if text]
