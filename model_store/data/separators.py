"""The mark between the tags of a text column, found by how its parts recur.

Tags recur in many combinations and at any place: "Action, Drama", "Drama", "Comedy, Action". The parts of other text
with commas do not: in "Smith, John" and "Boston, MA" each part has its own place, and those of a sentence are unique.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from model_store.bundle.cells import SEPARATORS, parts_of

# Distinct texts that are looked at.
SAMPLE = 5000
MAX_PART_WORDS = 3.0
MIN_SHARE = 0.02
# Between blanks stand words; few of them, of few kinds, in enough texts are tags.
MIN_BLANK_TEXTS = 4
MAX_BLANK_PARTS = 5.0
MAX_BLANK_VARIETY = 0.75


class Evidence(NamedTuple):
    """How the parts of distinct texts recur.

    Attributes:
        recurrence: parts per distinct part.
        mobility: share of the parts that stand alone, first or later, and elsewhere at another of these places.
        words: mean number of words per part.
        share: share of the texts that have several parts.
        parts: mean number of parts per text.
        variety: distinct parts per text.
    """

    recurrence: float
    mobility: float
    words: float
    share: float
    parts: float
    variety: float


# Least recurrence and mobility that speak for a list. A semicolon hardly stands elsewhere, and ">" only in paths, where
# parts keep their places; a blank nearly always stands elsewhere.
LEAST = {";": (1.1, 0.05), ">": (1.1, 0.0), ",": (1.5, 0.3), "/": (1.5, 0.5), " ": (2.0, 0.8)}


def separator_of(texts: Sequence[str]) -> str | None:
    """The mark between the tags of a column, "|" included; None where each text is a tag of its own.

    Args:
        texts: distinct texts of the column, not empty.
    """
    sample = texts[:SAMPLE]
    if any("|" in text for text in texts):
        return "|"
    return next((mark for mark in SEPARATORS if _separates(sample, mark)), None)


def evidence(texts: Sequence[str], mark: str) -> Evidence | None:
    """How parts between ``mark`` recur; None where no text has two of them."""
    split = [parts_of(text, mark) for text in texts]
    if not any(len(parts) > 1 for parts in split):
        return None
    positions: dict[str, set[int]] = defaultdict(set)
    counts: dict[str, int] = defaultdict(int)
    for parts in split:
        for position, part in enumerate(parts):
            positions[part].add(-1 if len(parts) == 1 else min(position, 1))
            counts[part] += 1
    total = sum(counts.values())
    return Evidence(
        recurrence=total / len(counts),
        mobility=sum(counts[part] for part, kinds in positions.items() if len(kinds) > 1) / total,
        words=sum(counts[part] * len(part.split()) for part in counts) / total,
        share=sum(len(parts) > 1 for parts in split) / len(texts),
        parts=total / len(texts),
        variety=len(counts) / len(texts),
    )


def _separates(texts: Sequence[str], mark: str) -> bool:
    signs = evidence(texts, mark)
    if signs is None or signs.words > MAX_PART_WORDS or signs.share < MIN_SHARE:
        return False
    if mark == "/" and any(part.isdigit() for text in texts for part in text.split("/")):
        return False  # dates and fractions
    if mark == " " and (
        len(texts) < MIN_BLANK_TEXTS or signs.parts > MAX_BLANK_PARTS or signs.variety > MAX_BLANK_VARIETY
    ):
        return False
    # One text alone says nothing about recurrence; its parts mean the same to a model as the whole.
    alone = len(texts) == 1 and mark in ";,"
    recurrence, mobility = LEAST[mark]
    return alone or (signs.recurrence >= recurrence and signs.mobility >= mobility)
