"""Detection of the separator between the tags of a text column.

Tags recur in many combinations and at any position: "Action, Drama", "Drama", "Comedy, Action". Parts of other text
do not: in "Smith, John" and "Boston, MA" each part keeps its position, and the parts of sentences rarely recur.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from model_store.bundle.cells import SEPARATORS, parts_of

# Number of distinct texts that are examined.
SAMPLE = 5000
MAX_PART_WORDS = 3.0
MIN_SHARE = 0.02
# Blanks separate words as well as tags. Words are tags if texts are many, and have few words out of a small vocabulary.
MIN_BLANK_TEXTS = 4
MAX_BLANK_PARTS = 5.0
MAX_BLANK_VARIETY = 0.75


class Evidence(NamedTuple):
    """Statistics on the recurrence of parts in distinct texts.

    Attributes:
        recurrence: parts per distinct part.
        mobility: share of the parts that occur at two or more of these positions: alone, first, later.
        words: mean number of words per part.
        share: share of the texts with several parts.
        parts: mean number of parts per text.
        variety: distinct parts per text.
    """

    recurrence: float
    mobility: float
    words: float
    share: float
    parts: float
    variety: float


# Lowest recurrence and mobility of a list of tags. Semicolons are rare outside of lists; ">" occurs in paths, and their
# parts keep their positions; blanks mostly occur in ordinary text.
MIN_EVIDENCE = {";": (1.1, 0.05), ">": (1.1, 0.0), ",": (1.5, 0.3), "/": (1.5, 0.5), " ": (2.0, 0.8)}


def separator_of(texts: Sequence[str]) -> str | None:
    """Find the separator between the tags of a column; None if each text is a single tag.

    Args:
        texts: distinct texts of the column, not empty. Any "|" in them is taken for a separator.
    """
    sample = texts[:SAMPLE]
    if any("|" in text for text in texts):
        return "|"
    return next((mark for mark in SEPARATORS if _separates(sample, mark)), None)


def evidence(texts: Sequence[str], mark: str) -> Evidence | None:
    """Measure how parts between ``mark`` recur; None if no text has two parts."""
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
    statistics = evidence(texts, mark)
    if statistics is None or statistics.words > MAX_PART_WORDS or statistics.share < MIN_SHARE:
        return False
    if mark == "/" and any(part.isdigit() for text in texts for part in text.split("/")):
        return False  # dates and fractions
    if mark == " " and (
        len(texts) < MIN_BLANK_TEXTS or statistics.parts > MAX_BLANK_PARTS or statistics.variety > MAX_BLANK_VARIETY
    ):
        return False
    # Recurrence cannot be measured on a single text. Splitting it does no harm: a model learns the same from its parts.
    is_single = len(texts) == 1 and mark in ";,"
    recurrence, mobility = MIN_EVIDENCE[mark]
    return is_single or (statistics.recurrence >= recurrence and statistics.mobility >= mobility)
