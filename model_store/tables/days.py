"""Days, parsed from text: ISO 8601, dates with the month's name, and dates with slashes or dots."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import NamedTuple

from model_store.bundle.cells import date_of

FORMATS = ("%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%B-%Y", "%b %d %Y", "%B %d %Y")
_SLASHES = re.compile(
    r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?: \d{1,2}:\d{2}(?::\d{2})?)?|(\d{4})[/.](\d{1,2})[/.](\d{1,2})"
)
_LAST_MONTH = 12


class Dates(NamedTuple):
    """One day per text, None for texts that are not dates; and a remark about how they were read, or ""."""

    days: list[date | None]
    remark: str = ""


def iso_dates(texts: Iterable[str]) -> Dates:
    """Parse ISO dates, with or without a time of day."""
    return Dates([date_of(text) for text in texts])


def other_dates(texts: Sequence[str]) -> Dates:
    """Parse dates in other notations.

    The number that exceeds 12 in some text is the day. If neither or both of them do, only the year is used: the day
    is January 1.
    """
    matches = [_SLASHES.fullmatch(text) for text in texts]
    if not any(matches):
        return Dates([_named_month(text) for text in texts])
    firsts = any(int(match[1]) > _LAST_MONTH for match in matches if match and match[1])
    seconds = any(int(match[2]) > _LAST_MONTH for match in matches if match and match[2])
    unambiguous = firsts != seconds or not any(match and match[1] for match in matches)
    days = [_slashed(match, day_first=firsts, unambiguous=unambiguous) if match else None for match in matches]
    return Dates(days, "" if unambiguous else "the order of day and month is ambiguous, so only the year is used")


def _slashed(match: re.Match[str], *, day_first: bool, unambiguous: bool) -> date | None:
    if match[4]:
        year, month, day = int(match[4]), int(match[5]), int(match[6])
    else:
        year, first, second = int(match[3]), int(match[1]), int(match[2])
        month, day = ((second, first) if day_first else (first, second)) if unambiguous else (1, 1)
    with suppress(ValueError):
        return date(year, month, day)
    return None


def _named_month(text: str) -> date | None:
    if text[-4:].isdigit():
        for form in FORMATS:
            with suppress(ValueError):
                return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no time zone
    return None
