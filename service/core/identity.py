"""The identity of a catalogue: a small mark that recognises later bundles of the same items.

Users' events name items by id, so they mean other items under another catalogue. Ids alone do not tell catalogues
apart, since many data sets count their items from 1; two items are the same if both id and title match. A retraining
changes some of the items, so the mark is a sample of them, to be matched in part, instead of a hash of all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import orjson

from model_store.bundle import UNKNOWN_ROW, Catalogue

# Enough for a catalogue that shrinks a hundredfold. 60 KB in the store, 10 ms to compare.
SAMPLE = 2048
# Two data sets share no item of one id and title; two trainings on one shop share nearly all.
MIN_SHARED = 0.1
ANY_CRC = 2**32

Titles = dict[str, str]


@dataclass(frozen=True, slots=True)
class CatalogueMark:
    """A sample of a catalogue's items.

    Attributes:
        bundle: version of the sampled bundle, for messages.
        last_crc: highest CRC-32 of a sampled id; ``ANY_CRC`` if the sample is the whole catalogue.
        titles: item id → digest of the title, "" for an item without a title.
    """

    bundle: str
    last_crc: int
    titles: Titles

    @classmethod
    def of(cls, version: str, catalogue: Catalogue) -> Self:
        """The mark of a bundle's catalogue; every process samples the same items."""
        sample = catalogue.sample(SAMPLE)
        last_crc = sample[-1][0] if len(sample) < len(catalogue) else ANY_CRC
        return cls(version, last_crc, _titles(catalogue, [item_id for _, item_id in sample]))

    @classmethod
    def decode(cls, stored: bytes) -> Self:
        """The mark of bytes from :meth:`encode`; raises ValueError for other bytes."""
        try:
            content = orjson.loads(stored)
            return cls(str(content["bundle"]), int(content["last_crc"]), dict(content["titles"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise ValueError("not the mark of a catalogue") from exc

    def encode(self) -> bytes:
        """The mark as JSON."""
        return orjson.dumps({"bundle": self.bundle, "last_crc": self.last_crc, "titles": self.titles})

    def is_of(self, catalogue: Catalogue) -> bool:
        """True if ``catalogue`` and the marked one share enough items, compared by id and title.

        The share is taken of either catalogue, since a catalogue may grow or shrink by any factor.
        """
        titles = _titles(catalogue, self.titles)
        kept = sum(_is_same(title, titles.get(item_id)) for item_id, title in self.titles.items())
        comparable = [item_id for crc, item_id in catalogue.sample(SAMPLE) if crc <= self.last_crc]
        later = _titles(catalogue, comparable)
        shared = sum(_is_same(title, self.titles.get(item_id)) for item_id, title in later.items())
        return max(_share(kept, len(self.titles)), _share(shared, len(later))) >= MIN_SHARED


def _titles(catalogue: Catalogue, item_ids: Iterable[str]) -> Titles:
    """Digests of titles, for those of the items that the catalogue has."""
    ids = list(item_ids)
    rows = [
        (item_id, row) for item_id, row in zip(ids, catalogue.rows(ids).tolist(), strict=True) if row != UNKNOWN_ROW
    ]
    texts = catalogue.open_json(row for _, row in rows)
    return {
        item_id: _digest(orjson.loads(text + b"}").get("title")) for (item_id, _), text in zip(rows, texts, strict=True)
    }


def _digest(title: object) -> str:
    """Digest of a title, ignoring case and surrounding blanks, which editors change; "" without a title."""
    plain = title.strip().casefold() if isinstance(title, str) else ""
    return hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest() if plain else ""


def _is_same(title: str, other: str | None) -> bool:
    """True if two titles of one item id match; a missing title matches any."""
    return other is not None and (title == other or not title or not other)


def _share(count: int, total: int) -> float:
    return count / total if total else 0.0
