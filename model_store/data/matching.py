"""Checks that the ids of ``items.*`` and ``users.*`` match those of the events, and of ids in two spellings.

An id that occurs in two spellings in the events would count as two items or users.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from model_store.errors import DataError
from model_store.tables.notes import counted, shorten

# A file belongs to other data if smaller shares of its ids occur in the events, and of the events' ids in the file.
OTHER_DATA_SHARE = 0.01
LOW_SHARE = 0.5
# A change is the likely reason if undoing it matches this share of the ids of the smaller side.
LIKELY_SHARE = 0.5
# Up to this share of distinct short codes may differ only in zeros or case.
RARE_SHARE = 0.05
SAMPLE = 20_000
SHOWN = 3


class Change(NamedTuple):
    """A common change of ids, and how to undo it.

    Attributes:
        undo: function from an id to the id without the change.
        reason: description of the change.
        remedy: advice to the user.
    """

    undo: Callable[[str], str]
    reason: str
    remedy: str


def _whole(text: str) -> str:
    """Remove the fraction or exponent of a whole number: "7.0" and "7e0" become "7"; "007" stays."""
    if re.fullmatch(r"[+-]?\d+(?:\.\d*|\.?\d*[eE][+-]?\d{1,2})", text):
        number = float(text)
        return str(int(number)) if number == int(number) else text
    return text


def _normal(text: str) -> str:
    """Normalise characters, such as "e" with a combining accent to "é", and remove invisible ones."""
    return re.sub(r"[\u00ad\u200b-\u200f\u2060\ufeff]", "", unicodedata.normalize("NFKC", text))


CHANGES = (
    Change(str.strip, "blanks around the ids", "remove the blanks"),
    Change(
        _normal,
        "characters that look alike, such as é as one or two characters, or invisible ones",
        "normalise the ids of both files, e.g. with unicodedata.normalize('NFKC', id) in Python",
    ),
    Change(str.casefold, "upper and lower case", "use the same case in both files"),
    Change(
        _whole,
        "numbers with a fraction or an exponent, as pandas writes ids if some are missing",
        "write the ids as whole numbers or as text in both files",
    ),
    Change(
        lambda text: _whole(text.strip()).lstrip("0") or "0",
        "leading zeros, which are lost if ids are read as numbers",
        "read and write the ids as text, e.g. with dtype=str in pandas",
    ),
    Change(
        lambda text: re.sub(r"^[^\d]+(?=\d)", "", text).lstrip("0"),
        "a prefix that only one file has",
        "add it to the ids of the other file, or remove it",
    ),
    Change(lambda text: re.sub(r"[\W_]", "", text).casefold(), "punctuation", "use the same punctuation in both files"),
)


def check_ids(path: str, ids: pl.Series, event_ids: pl.Series, noun: str) -> list[str]:
    """Compare the ids of a file with those of the events.

    Args:
        path: name of the file.
        ids: its distinct ids.
        event_ids: distinct ids of the events.
        noun: "item" or "user".

    Returns:
        A warning if the file lacks ids of the events for a likely reason, or lacks most items.

    Raises:
        DataError: none or hardly any of the ids occur in the events.
    """
    if not len(ids) or not len(event_ids):
        return []
    matched = int(event_ids.is_in(ids.implode()).sum())
    if matched == len(event_ids):
        return []
    share, used = matched / len(event_ids), matched / len(ids)
    unmatched = event_ids.filter(~event_ids.is_in(ids.implode()))
    unused = ids.filter(~ids.is_in(event_ids.implode()))
    likely = _likely_change(unused, unmatched)
    show = ascii if likely and likely.undo is _normal else repr
    sides = f"the file has {_list_ids(unused, show) or 'no other ids'}, the events have {_list_ids(unmatched, show)}"
    if matched == 0 or (share < OTHER_DATA_SHARE and used < OTHER_DATA_SHARE):
        reason = f"likely reason: {likely.reason}; {likely.remedy}" if likely else _UNKNOWN_REASON
        count = "none" if matched == 0 else f"only {matched:,}"
        raise DataError(f"{path}: {count} of its {len(ids):,} {noun} ids occurs in the events: {sides}; {reason}")
    if likely:
        absent = f"the file lacks {counted(len(unmatched), f'{noun} id')} of the events"
        return [f"{path}: {absent}: {sides}; likely reason: {likely.reason}"]
    if noun == "user" or share >= LOW_SHARE:
        return []
    return [f"{path}: the file has only {matched:,} of the events' {counted(len(event_ids), noun)}: {sides}"]


_UNKNOWN_REASON = "both must use the same ids; correct the ids, or remove the file to train without it"


def _likely_change(ids: pl.Series, event_ids: pl.Series) -> Change | None:
    """Find the first change whose undoing matches enough ids of the smaller side."""
    file_ids, used_ids = ids.sort().head(SAMPLE).to_list(), event_ids.sort().head(SAMPLE).to_list()
    for change in CHANGES:
        changed = {change.undo(text) for text in file_ids} - {""}
        matches = changed & {change.undo(text) for text in used_ids}
        if len(matches) >= LIKELY_SHARE * max(min(len(changed), len(used_ids)), 1):
            return change
    return None


def _list_ids(ids: pl.Series, show: Callable[[str], str]) -> str:
    texts = ids.sort().head(SHOWN)
    return ", ".join(shorten(show(text), 42) for text in texts) + (", …" if len(ids) > SHOWN else "")


def _normalised(ids: pl.Series) -> pl.Series:
    """Apply ``_normal`` to ids, unless all are ASCII, as in most tables."""
    if not ids.str.contains(r"[^\x00-\x7F]").any():
        return ids
    return pl.Series(ids.name, [_normal(text) for text in ids], dtype=pl.String)


class Spelling(NamedTuple):
    """A variation in the spelling of ids.

    Attributes:
        plain: function from ids to their usual spelling.
        reason: description of the difference.
        share: lowest share of the ids with two spellings that gives a warning.
    """

    plain: Callable[[pl.Series], pl.Series]
    reason: str
    share: float


SPELLINGS = (
    Spelling(lambda ids: ids.str.replace(r"^([+-]?\d+)\.0*$", "$1"), "a fraction of 0, as in 7.0", 0.0),
    Spelling(lambda ids: ids.str.replace(r"^0+(\d+)$", "$1"), "leading zeros", RARE_SHARE),
    Spelling(_normalised, "characters that look alike, or invisible ones", 0.0),
    Spelling(lambda ids: ids.str.to_lowercase(), "upper and lower case", RARE_SHARE),
)


def check_spellings(path: str, event_ids: pl.Series, noun: str) -> list[str]:
    """Find ids of the events in two spellings, which count as two items or users.

    Args:
        path: name of the table of events.
        event_ids: distinct ids.
        noun: "item" or "user".

    Returns:
        Warnings, one per kind of spelling.
    """
    return [warning for spelling in SPELLINGS if (warning := _spelling_warning(path, event_ids, noun, spelling))]


def _spelling_warning(path: str, ids: pl.Series, noun: str, spelling: Spelling) -> str:
    """A warning about ids that agree in the plain spelling; "" if there are too few."""
    plain = spelling.plain(ids)
    surplus = len(ids) - plain.n_unique()
    if not surplus or surplus < spelling.share * len(ids):
        return ""
    duplicates = pl.DataFrame({"id": ids, "plain": plain}).filter(plain.is_duplicated()).sort("plain", "id")
    first, second = (shorten(ascii(text), 42) for text in duplicates["id"].head(2))
    example = f"{first} and {second}, which differ in {spelling.reason} and count as two {noun}s"
    return (
        f"{path}: {counted(surplus, f'{noun} id')} with a second spelling, e.g. {example}; "
        "use one spelling if they mean the same"
    )
