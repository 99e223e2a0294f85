"""The identity of a catalogue: a small mark by which a later bundle of the same items is recognised.

Users' events name items by id, so users kept under one catalogue mean something else under another. Ids alone do not
tell catalogues apart, since many data sets count their items from 1; an item is the same if its id and its title are.
Training again changes a part of the items, which is why the mark is a sample to be shared in part, not a hash of all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import orjson

from model_store.bundle import UNKNOWN_ROW, Catalogue

# Beyond a hundredfold shrinking too few are left to judge by. 60 KB in the store, 10 ms to compare.
SAMPLE = 2048
# Catalogues of two data sets share no item with its title; those of two trainings on one shop share nearly all.
MIN_SHARED = 0.1
ANY_CRC = 2**32

Titles = dict[str, str]


@dataclass(frozen=True, slots=True)
class CatalogueMark:
    """A sample of a catalogue's items.

    Attributes:
        bundle: version of the bundle that the sample is from, for people.
        last_crc: highest CRC-32 of an id that can be in the sample; ``ANY_CRC`` where the sample is all there is.
        titles: item id → digest of the title, "" for an item without one.
    """

    bundle: str
    last_crc: int
    titles: Titles

    @classmethod
    def of(cls, version: str, catalogue: Catalogue) -> Self:
        """The mark of a bundle's catalogue: the same items in every process."""
        sample = catalogue.sample(SAMPLE)
        last_crc = sample[-1][0] if len(sample) < len(catalogue) else ANY_CRC
        return cls(version, last_crc, _titles(catalogue, [item_id for _, item_id in sample]))

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """The mark that :meth:`encode` made; raises ValueError for anything else."""
        try:
            content = orjson.loads(stored)
            return cls(str(content["bundle"]), int(content["last_crc"]), dict(content["titles"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise ValueError("not the mark of a catalogue") from exc

    def encode(self) -> bytes:
        """The mark as JSON."""
        return orjson.dumps({"bundle": self.bundle, "last_crc": self.last_crc, "titles": self.titles})

    def is_of(self, catalogue: Catalogue) -> bool:
        """Whether ``catalogue`` holds the marked items, or the marked ones hold it: enough of them, with their titles.

        Both directions are looked at, since a catalogue may grow or shrink by any factor.
        """
        titles = _titles(catalogue, self.titles)
        kept = sum(_is_same(title, titles.get(item_id)) for item_id, title in self.titles.items())
        comparable = [item_id for crc, item_id in catalogue.sample(SAMPLE) if crc <= self.last_crc]
        later = _titles(catalogue, comparable)
        shared = sum(_is_same(title, self.titles.get(item_id)) for item_id, title in later.items())
        return max(_share(kept, len(self.titles)), _share(shared, len(later))) >= MIN_SHARED


def _titles(catalogue: Catalogue, item_ids: Iterable[str]) -> Titles:
    """Digests of the titles of those items that the catalogue has."""
    ids = list(item_ids)
    rows = [
        (item_id, row) for item_id, row in zip(ids, catalogue.rows(ids).tolist(), strict=True) if row != UNKNOWN_ROW
    ]
    texts = catalogue.open_json(row for _, row in rows)
    return {
        item_id: _digest(orjson.loads(text + b"}").get("title")) for (item_id, _), text in zip(rows, texts, strict=True)
    }


def _digest(title: object) -> str:
    """A title without its case and the blanks around it, which editors change; "" for none."""
    plain = title.strip().casefold() if isinstance(title, str) else ""
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest() if plain else ""


def _is_same(title: str, other: str | None) -> bool:
    """Whether two items of one id are one item; without a title on both sides the id has to do."""
    return other is not None and (title == other or not title or not other)


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
