"""Whether the ids of ``items.*`` or ``users.*`` are those of the events, and why they may not be."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

from model_store.data.summary import shorten
from model_store.errors import DataError

# A file belongs to other data where a smaller share of its ids occurs in the events, and of theirs in the file.
HARDLY = 0.01
LOW = 0.5
# Share of the ids of the smaller side that must agree after a change for the change to be the likely reason.
LIKELY = 0.5
SAMPLE = 20_000
SHOWN = 3


class Change(NamedTuple):
    """A change that data often goes through, undone.

    Attributes:
        undo: the id without the change.
        reason: what probably happened.
        remedy: what to do about it.
    """

    undo: Callable[[str], str]
    reason: str
    remedy: str


def _whole(text: str) -> str:
    """A whole number without its fraction or exponent: "7.0" and "7e0" are "7"; "007" stays."""
    if re.fullmatch(r"[+-]?\d+(?:\.\d*|\.?\d*[eE][+-]?\d{1,2})", text):
        number = float(text)
        return str(int(number)) if number == int(number) else text
    return text


CHANGES = (
    Change(str.strip, "blanks around the ids", "remove the blanks"),
    Change(str.casefold, "capital and small letters", "write the ids alike in both files"),
    Change(
        _whole,
        "numbers with a fraction or an exponent, as pandas writes ids where some are missing",
        "write the ids as whole numbers or as text in both files",
    ),
    Change(
        lambda text: _whole(text.strip()).lstrip("0") or "0",
        "leading zeros, which are lost where ids are read as numbers",
        "read and write the ids as text, e.g. with dtype=str in pandas",
    ),
    Change(
        lambda text: re.sub(r"^[^\d]+(?=\d)", "", text).lstrip("0"),
        "a prefix that only one file has",
        "add it to the ids of the other file, or remove it",
    ),
    Change(lambda text: re.sub(r"[\W_]", "", text).casefold(), "punctuation", "write the ids alike in both files"),
)


def check_ids(path: str, ids: pl.Series, event_ids: pl.Series, noun: str) -> list[str]:
    """Compare the ids of a file with those of the events.

    Args:
        path: name of the file.
        ids: its distinct ids.
        event_ids: distinct ids of the events.
        noun: "item" or "user".

    Returns:
        A warning where the file lacks ids of the events in a way that has a likely reason, or lacks most items.

    Raises:
        DataError: none of the ids, or hardly one, occurs in the events.
    """
    if not len(ids) or not len(event_ids):
        return []
    matched = int(event_ids.is_in(ids.implode()).sum())
    if matched == len(event_ids):
        return []
    share, used = matched / len(event_ids), matched / len(ids)
    unmatched = event_ids.filter(~event_ids.is_in(ids.implode()))
    unused = ids.filter(~ids.is_in(event_ids.implode()))
    sides = f"the file has {_shown(unused) or 'no others'}, the events have {_shown(unmatched)}"
    likely = _likely_change(unused, unmatched)
    if matched == 0 or (share < HARDLY and used < HARDLY):
        reason = f"likely reason: {likely.reason}; {likely.remedy}" if likely else _UNKNOWN_REASON
        count = "none" if matched == 0 else f"only {matched:,}"
        raise DataError(f"{path}: {count} of its {len(ids):,} {noun} ids occurs in the events: {sides}; {reason}")
    if likely:
        return [
            f"{path}: {len(unmatched):,} {noun} ids of the events are absent: {sides}; likely reason: {likely.reason}"
        ]
    if noun == "user" or share >= LOW:
        return []
    return [f"{path}: only {matched:,} of the {len(event_ids):,} {noun}s of the events are in it: {sides}"]


_UNKNOWN_REASON = "both must hold the same ids; write them alike, or remove the file to train without it"


def _likely_change(ids: pl.Series, event_ids: pl.Series) -> Change | None:
    """The first change that makes most ids of the smaller side agree."""
    file_ids, used_ids = ids.sort().head(SAMPLE).to_list(), event_ids.sort().head(SAMPLE).to_list()
    for change in CHANGES:
        changed = {change.undo(text) for text in file_ids} - {""}
        agreeing = changed & {change.undo(text) for text in used_ids}
        if len(agreeing) >= LIKELY * max(min(len(changed), len(used_ids)), 1):
            return change
    return None


def _shown(ids: pl.Series) -> str:
    return ", ".join(repr(shorten(text, 40)) for text in ids.sort().head(SHOWN)) + (", …" if len(ids) > SHOWN else "")
