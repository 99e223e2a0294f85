"""What is known about a user beside the events, encoded alike where a bundle is learned and where it is served.

| value   | names of what it becomes                                                              |
|---------|---------------------------------------------------------------------------------------|
| text    | ``gender=F``; several where "|" separates them                                        |
| boolean | ``member=true``                                                                       |
| number  | the bin that holds it, ``age=18..24``; ``floor=3`` where the column has no bins       |
| list    | one a tag, ``likes=jazz``                                                             |

All that encoding takes stands in the names, as with the features of items. A number beyond all bins, or between
two, goes to the last bin that starts at or below it, else to the first: the rule of ``model_store.data.bins``.
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

from model_store.errors import BundleDamaged

ATTRIBUTES_FILE = "attributes.json"

Value = str | float | bool | list[str]

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_BIN = re.compile(rf"(.+)=({_NUMBER})\.\.{_NUMBER}", re.DOTALL)


class Encoded(NamedTuple):
    """A user's attributes, increasing by id.

    Attributes:
        ids: int64 (A,), A ≥ 1: a user of whom nothing is known has id 0 with weight 0.
        weights: float32 (A,) with unit L2 norm: all columns weigh the same, and in a column all its tags.
    """

    ids: NDArray[np.int64]
    weights: NDArray[np.float32]


NOTHING_KNOWN = Encoded(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32))


class Attributes:
    """The attributes that a bundle knows.

    Attributes:
        names: name by id, e.g. "gender=F", "age=18..24".
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._ids = {name: index for index, name in enumerate(self.names)}
        self._bins = _bins(self.names)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what :meth:`write` wrote; raises BundleDamaged where it is something else."""
        try:
            names = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as exc:
            raise BundleDamaged(f"{path}: cannot be read as JSON ({exc})") from exc
        if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
            raise BundleDamaged(f"{path}: expected a JSON array of attribute names")
        return cls(names)

    def write(self, path: Path) -> None:
        """Keep the names as a JSON array."""
        path.write_bytes(orjson.dumps(self.names))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, given: Mapping[str, Value]) -> Encoded:
        """What ``given`` (column → value) says in these attributes; whatever else it says is ignored."""
        columns = [{each for _, each in self._parts(*item) if each is not None} for item in given.items()]
        known = [ids for ids in columns if ids]
        if not known:
            return NOTHING_KNOWN
        # By id, so that the order of the columns changes no bit of what is computed from them.
        pairs = sorted((each, 1 / math.sqrt(len(ids) * len(known))) for ids in known for each in ids)
        ids, weights = zip(*pairs, strict=True)
        return Encoded(np.array(ids, dtype=np.int64), np.array(weights, dtype=np.float32))

    def unknown(self, given: Mapping[str, Value]) -> list[tuple[str, str]]:
        """Column and text of every part of ``given`` that :meth:`encode` ignores."""
        return [(column, text) for column in given for text, each in self._parts(column, given[column]) if each is None]

    def _parts(self, column: str, value: Value) -> list[tuple[str, int | None]]:
        """The texts of a value with their ids, None for the unknown."""
        bins = self._bins.get(column)
        if bins and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            place = max(bisect_right(bins, (float(value), math.inf)) - 1, 0)
            return [(_text(value), bins[place][1])]
        return [(text, self._ids.get(f"{column}={text}")) for text in _tags(value)]


def _bins(names: Sequence[str]) -> dict[str, list[tuple[float, int]]]:
    """Column → (where a bin starts, its id), increasing."""
    found: dict[str, list[tuple[float, int]]] = {}
    for index, match in enumerate(map(_BIN.fullmatch, names)):
        if match:
            found.setdefault(match[1], []).append((float(match[2]), index))
    return {column: sorted(bins) for column, bins in found.items()}


def _tags(value: Value) -> list[str]:
    if isinstance(value, str):
        tags = value.split("|")
    else:
        tags = [_text(each) for each in (value if isinstance(value, list) else [value])]
    return [tag for tag in dict.fromkeys(map(str.strip, tags)) if tag]


def _text(value: str | float) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(float(value)).removesuffix(".0")
