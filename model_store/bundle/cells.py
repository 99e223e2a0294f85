"""Reading the text of a table's cell or of a client's value: missing, boolean, number, date or list.

The rules look at one text alone, so the same text means the same in a table and in a request.
"""

from __future__ import annotations

import math
import re
from datetime import date
from typing import Literal

import orjson

# Missing cells as written by pandas, R, SQL dumps and Hive. "NA" and "none" are absent: they can be words (Namibia).
MISSING = frozenset(
    {"", "nan", "NaN", "NAN", "null", "NULL", "Null", "None", "N/A", "n/a", "#N/A", "<NA>", "NaT", "\\N"}
)
# In columns of numbers, dates, booleans or lists these mean missing too, in upper and lower case.
MISSING_AMONG_NUMBERS = frozenset({"na", "n.a.", "none", "nil", "-", "--", "—", "?", "."}) | {
    word.casefold() for word in MISSING
}
BOOLEANS = {"true": True, "yes": True, "false": False, "no": False, "t": True, "y": True, "f": False, "n": False}
# Separators of tags in a text, besides "|", which always separates.
SEPARATORS = (";", ">", ",", "/", " ")

Decimal = Literal[".", ","]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|infinity)", re.IGNORECASE)
_CURRENCY = re.compile(r"(?:[$€£¥₹]|(?:USD|EUR|GBP|CHF|JPY|INR)\b)\s*|\s*(?:[$€£¥₹%]|\b(?:USD|EUR|GBP|CHF|JPY|INR))")
_GROUPS = re.compile(r"[+-]?\d{1,3}([,.' ])\d{3}(?:\1\d{3})*(?:(?!\1)[.,]\d+)?")
_SEVERAL_GROUPS = re.compile(r"[+-]?\d{1,3}([,.' ])\d{3}(?:\1\d{3})+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,(?:\d{1,2}|\d{4,})|[+-]?\d{1,3}(?:[.' ]\d{3})+,\d+|[+-]?0,\d+")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?(?:[T ]\d{2}:\d{2}.*)?")
# Longer text is not tried as a number: no float has more digits.
MAX_NUMBER = 400
_BRACKETS = {"[": "]", "{": "}", "(": ")"}
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
# Possessive, so that a client's text takes time in proportion to its length.
_ELEMENT = re.compile(rf"\s*+(?:({_QUOTED})\s*+(?:,|(?=['\"])|$)|([^,'\"\[\]{{}}()]++)(?:,|$))", re.DOTALL)
# How Python prints an array, a tensor or a set: ``array([0.1, 0.2], dtype=float32)``.
_PRINTED = re.compile(r"(?:\w+\.)?(?:array|tensor|frozenset|set|list|tuple|deque)\((?=[\[{(])")
_NAME_OF_RECORD = re.compile(rf"[\"'](?:name|title|label)[\"']\s*:\s*({_QUOTED})")


def number_of(text: str, decimal: Decimal | None = None) -> float | None:
    """The number in ``text``, which may be infinite; None for other text.

    Amounts of money, percentages and grouped thousands are numbers: "$1,234.50", "1.234,50 €", "12 %".

    Args:
        text: without blanks around it.
        decimal: decimal mark of the column. Without it, a lone comma before three digits groups thousands
            and any other lone comma is a decimal mark.
    """
    if len(text) > MAX_NUMBER:
        return None
    if _NUMBER.fullmatch(text) and not (decimal == "," and _GROUPS.fullmatch(text)):
        return float(text)
    bare = _CURRENCY.sub("", text, count=1).replace("\u00a0", " ").replace("\u2212", "-").strip()
    mark = decimal or ("," if has_decimal_comma(bare) else ".")
    grouped = _GROUPS.fullmatch(bare)
    if grouped and (grouped[1] != mark or _SEVERAL_GROUPS.fullmatch(bare)):
        bare = bare.replace(grouped[1], "")
    if mark == ",":
        bare = bare.replace(",", ".") if "." not in bare else "."
    return float(bare) if _NUMBER.fullmatch(bare) else None


def has_decimal_comma(text: str) -> bool:
    """Whether a comma in ``text`` can only be a decimal mark: "0,5", "12,50", "1.234,5", but not "1,234"."""
    return _DECIMAL_COMMA.fullmatch(_CURRENCY.sub("", text, count=1).strip()) is not None


def date_of(text: str) -> date | None:
    """The day of an ISO date, "2023-07-01" or "2023-07" or with a time of day; None for other text."""
    match = _ISO_DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3] or 1))
    except ValueError:
        return None


def year_fraction(day: date) -> float:
    """Year of ``day`` plus the share of the year before it, rounded to four digits: about an hour."""
    start, end = date(day.year, 1, 1), date(day.year, 12, 31)
    return round(day.year + (day - start).days / ((end - start).days + 1), 4)


def boolean_of(text: str) -> bool | None:
    """The boolean in ``text``, in upper or lower case, e.g. "TRUE", "no"; None for other text."""
    return BOOLEANS.get(text.casefold())


def list_of(text: str) -> list[str] | None:
    """Elements of a list in brackets; None for other text, such as a list of lists of numbers.

    Notations are those of JSON, Python, NumPy and Postgres: ``["a", "b"]``, ``['a' 'b']``, ``{a,b}``, ``[a, b]``,
    ``[0.1 0.2]``, ``tensor([0.1, 0.2])``. The elements of one or more records, ``[{"id": 7, "name": "a"}]``, are their
    names. The elements of lists of lists, ``[["a", "b"], ["c"]]``, are the texts. Parentheses must contain a comma or
    quotes.
    """
    text = _without_type(text.strip())
    if len(text) < 2 or _BRACKETS.get(text[0]) != text[-1]:  # noqa: PLR2004 - two brackets
        return None
    if re.match(r"\[\s*\{|\{\s*['\"]\w+['\"]\s*:", text):
        names = [_unquoted(match[1]) for match in _NAME_OF_RECORD.finditer(text)]
        return names or None
    if re.match(r"\[\s*[\[(]", text):
        return [_unquoted(quoted) for quoted in re.findall(_QUOTED, text, re.DOTALL)] or None
    if text[0] == "(" and not re.search(r"[,'\"]", text):
        return None
    elements = _json_elements(text) if text[0] == "[" else None
    return _elements(text[1:-1].strip()) if elements is None else elements


def parts_of(text: str, separator: str) -> list[str]:
    """Parts of ``text`` between separators, without blanks around them and without empty ones."""
    return [part for part in map(str.strip, text.split(separator)) if part]


def text_of(value: str | float) -> str:
    """Text of a value as in the names of features: "true", "7", "7.5"; text is unchanged."""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(float(value)).removesuffix(".0")


def _without_type(text: str) -> str:
    """The list in a printed array, tensor or set; other text is unchanged."""
    printed = _PRINTED.match(text)
    return text[printed.end() : max(map(text.rfind, "]}")) + 1] if printed and text[-1] == ")" else text


def _json_elements(text: str) -> list[str] | None:
    try:
        elements = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if any(isinstance(element, list | dict) for element in elements):
        return None
    return ["null" if element is None else text_of(element).strip() for element in elements]


def _elements(inner: str) -> list[str] | None:
    """Elements between brackets, separated by commas; quoted elements and numbers also by blanks."""
    words = inner.split()
    if all(_NUMBER.fullmatch(word) or word in MISSING or word == "..." for word in words):
        return words
    elements, position = [], 0
    while position < len(inner):
        match = _ELEMENT.match(inner, position)
        if match is None:
            return None
        elements.append(_unquoted(match[1]) if match[1] else match[2].strip())
        position = match.end()
    return elements


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL).strip()


def is_finite(value: object) -> bool:
    """Whether ``value`` is a finite number and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
