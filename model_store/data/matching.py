"""Whether the ids of ``items.*`` or ``users.*`` are those of the events, and why they may not be.

Ids of the events alone are looked at, too: one that stands there in two spellings counts as two items or users.
"""

from __future__ import annotations

import re
import unicodedata
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
# Codes of few characters differ in zeros or case alone now and then.
RARELY = 0.05
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


def _normal(text: str) -> str:
    """Characters in their usual form, "é" for "e" with an accent of its own, without invisible ones."""
    return re.sub(r"[\u00ad\u200b-\u200f\u2060\ufeff]", "", unicodedata.normalize("NFKC", text))


CHANGES = (
    Change(str.strip, "blanks around the ids", "remove the blanks"),
    Change(
        _normal,
        "characters that look alike, such as é in one or in two characters, or invisible ones",
        "write the ids of both files in one form, e.g. with unicodedata.normalize('NFKC', id) in Python",
    ),
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
    likely = _likely_change(unused, unmatched)
    show = ascii if likely and likely.undo is _normal else repr
    sides = f"the file has {_shown(unused, show) or 'no others'}, the events have {_shown(unmatched, show)}"
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


def _shown(ids: pl.Series, show: Callable[[str], str]) -> str:
    texts = ids.sort().head(SHOWN)
    return ", ".join(shorten(show(text), 42) for text in texts) + (", …" if len(ids) > SHOWN else "")


def _normal_form(ids: pl.Series) -> pl.Series:
    """``_normal`` of ids; most tables have no character beyond ASCII in them."""
    if not ids.str.contains(r"[^\x00-\x7F]").any():
        return ids
    return pl.Series(ids.name, [_normal(text) for text in ids], dtype=pl.String)


class Spelling(NamedTuple):
    """Two ways to write one id.

    Attributes:
        plain: the id in the usual way.
        reason: how the other way differs.
        share: least share of the ids that stand in both ways for them to be taken for the same.
    """

    plain: Callable[[pl.Series], pl.Series]
    reason: str
    share: float


SPELLINGS = (
    Spelling(lambda ids: ids.str.replace(r"^([+-]?\d+)\.0*$", "$1"), "a fraction of 0, as in 7.0", 0.0),
    Spelling(lambda ids: ids.str.replace(r"^0+(\d+)$", "$1"), "leading zeros", RARELY),
    Spelling(_normal_form, "characters that look alike, or invisible ones", 0.0),
    Spelling(lambda ids: ids.str.to_lowercase(), "capital and small letters", RARELY),
)


def check_spellings(path: str, event_ids: pl.Series, noun: str) -> list[str]:
    """Warnings where ids of the events stand in two spellings, so that one item or user counts as two.

    Args:
        path: name of the table of events.
        event_ids: distinct ids.
        noun: "item" or "user".
    """
    return [warning for spelling in SPELLINGS if (warning := _twins(path, event_ids, noun, spelling))]


def _twins(path: str, ids: pl.Series, noun: str, spelling: Spelling) -> str:
    """A warning about ids that are one in the plain spelling; "" where hardly any are."""
    plain = spelling.plain(ids)
    surplus = len(ids) - plain.n_unique()
    if not surplus or surplus < spelling.share * len(ids):
        return ""
    twins = pl.DataFrame({"id": ids, "plain": plain}).filter(plain.is_duplicated()).sort("plain", "id")
    first, second = (shorten(ascii(text), 42) for text in twins["id"].head(2))
    count = f"{surplus:,} {noun} ids stand" if surplus > 1 else f"1 {noun} id stands"
    says = f"{count} in a second spelling, e.g. {first} and {second}: they differ in {spelling.reason}"
    return f"{path}: {says}, and count as two {noun}s; write them alike if they are one"
