"""Columns of tables: names, synonyms, and messages about missing ones."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from model_store.config import ReadOptions
from model_store.errors import DataError
from model_store.tables.notes import Note

# Column names in public data sets and shop exports, in lower case without punctuation; the first match is proposed.
SYNONYMS = {
    "user_id": (
        "userid user uid userno username customerid customer custid clientid client memberid member accountid "
        "visitorid visitor profileid reviewerid householdid personid buyerid shopperid sessionid"
    ),
    "item_id": (
        "itemid item iid movieid movie productid product prodid sku asin parentasin articleid article bookid isbn "
        "songid trackid artistid gameid contentid newsid businessid videoid listingid recipeid animeid stockcode "
        "goodsid postid"
    ),
    "value": (
        "value rating ratings stars star score overall count counts quantity qty plays playcount listens weight units "
        "amount preference interaction label feedback"
    ),
    "timestamp": (
        "timestamp time ts date datetime createdat created unixreviewtime unixtime eventtime eventtimestamp "
        "timestampms ratedat reviewtime ratingtimestamp purchasedat orderdate invoicedate"
    ),
    "seq": "seq sequence",
    "event": "event eventtype action actiontype behavior behaviortype interactiontype",
    "title": "title name itemname productname movietitle booktitle",
}
# Optional columns that change the training; a note proposes candidates if they are not read.
INFORMATIVE = ("timestamp", "event")
# Names of columns without a name, and those that pandas gives to row numbers in CSV and Parquet.
NAMELESS = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__")


class Rows(NamedTuple):
    """Rows of a file.

    Attributes:
        frame: the columns that are read, with the names of the layout.
        locate: function from a row's index to its name for the user: "line 7" or "row 7".
        notes: counts of rows and columns of the file that are missing in the frame.
    """

    frame: pl.DataFrame
    locate: Callable[[int], str]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Columns of a table.

    Attributes:
        stem: name of the file without its suffix.
        required: required columns.
        optional: optional columns with a defined meaning.
        open: whether columns with other names are read as well.
    """

    stem: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    open: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Columns with a defined meaning."""
        return (*self.required, *self.optional)

    @property
    def ids(self) -> tuple[str, ...]:
        """Columns of ids."""
        return tuple(name for name in self.required if name.endswith("_id"))


INTERACTIONS = Layout("interactions", ("user_id", "item_id", "value"), ("timestamp", "seq", "event"), open=False)
ITEMS = Layout("items", ("item_id",), ("title",))
USERS = Layout("users", ("user_id",))


def columns_to_read(name: str, header: list[str], layout: Layout, options: ReadOptions) -> dict[str, str]:
    """Choose the columns to read: name in the layout by name in the file, in the file's order.

    Args:
        name: name of the file, for messages.
        header: names of all columns of the file; columns without a name are not read.
        layout: columns of the table.
        options: ``columns`` maps names of the layout to those of the file.

    Raises:
        DataError: two columns have the same name, or a required column is missing; the message proposes ``--columns``.
    """
    _refuse_duplicates(name, header)
    renamed = {source: target for target, source in options.columns.items() if target in layout.names}
    absent = [source for source in renamed if source not in header]
    if absent and (not layout.open or renamed[absent[0]] not in header):
        raise DataError(f"{name}: no column {absent[0]!r}, as set by --columns; {_listed(header)}")
    renamed = {source: target for source, target in renamed.items() if source in header}
    read = {
        source: renamed.get(source, source)
        for source in header
        if source in renamed or (source not in renamed.values() and _is_read(source, layout))
    }
    missing = [target for target in layout.required if target not in read.values()]
    if missing:
        raise DataError(f"{name}: no column {missing[0]!r}; {_listed(header)}; {_advice(header, layout, options)}")
    return read


def unread_notes(name: str, header: list[str], read: dict[str, str], layout: Layout) -> list[Note]:
    """Notes about unread columns whose names suggest a meaning, and about columns without a name."""
    notes = []
    for target in INFORMATIVE:
        candidate = _candidate(target, [source for source in header if source not in read], layout)
        if target in layout.optional and target not in read.values() and candidate:
            advice = f"to read it, set --columns {_pasteable({target: candidate})}"
            notes.append(Note(1, f"column of {name} is not read: {candidate!r} may be the {target}; {advice}"))
    nameless = sum(bool(NAMELESS.fullmatch(source)) for source in header)
    if nameless and layout.open:
        notes.append(Note(nameless, f"columns of {name} not read, because of a missing name"))
    return notes


def _refuse_duplicates(name: str, header: list[str]) -> None:
    for column in dict.fromkeys(header):
        numbers = [str(number) for number, other in enumerate(header, 1) if other == column]
        if len(numbers) > 1 and column.strip():
            raise DataError(
                f"{name}: columns {' and '.join(numbers)} have the same name {column!r}; rename or remove all but one"
            )


def _is_read(source: str, layout: Layout) -> bool:
    return source in layout.names or (layout.open and not NAMELESS.fullmatch(source))


def _listed(header: list[str]) -> str:
    return f"its columns are {', '.join(map(repr, header)) or 'none'}"


def _advice(header: list[str], layout: Layout, options: ReadOptions) -> str:
    """Advice for a table without a required column."""
    if any(re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", cell) for cell in header):
        return f"if its first line is data, add a header line above it, e.g. {','.join(layout.names)}"
    columns = dict(options.columns)
    for target in layout.names:
        if target not in columns and target not in header:
            candidate = _candidate(target, [cell for cell in header if cell not in columns.values()], layout)
            columns |= {target: candidate} if candidate else {}
    unmatched = [target for target in layout.required if target not in columns and target not in header]
    if unmatched == ["value"]:
        rename = f"set --columns {_pasteable(columns)} for the other columns, and " if columns else ""
        return f"{rename}add a column 'value' with a rating, a count, or 1 in every row"
    if len(header) == 1:
        return "expected fields separated by commas, semicolons, tabs or |"
    if unmatched or not columns:
        return f"set their names with --columns, e.g. --columns {layout.required[0]}=NAME"
    return f"try: --columns {_pasteable(columns)}"


def _candidate(target: str, header: list[str], layout: Layout) -> str | None:
    """Find the column of ``header`` whose name suggests ``target``; None without one."""
    plain = {re.sub(r"[\W_]+", "", cell).casefold(): cell for cell in reversed(header)}
    # A column "id" identifies items or users in their tables, but in a table of events it identifies events.
    synonyms = [*SYNONYMS[target].split(), *(["id"] if layout.required == (target,) else [])]
    return next((plain[synonym] for synonym in synonyms if synonym in plain), None)


def _pasteable(columns: dict[str, str]) -> str:
    """Format the argument of ``--columns``, quoted for a shell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([f"{target}={source}" for target, source in columns.items()])
    return shlex.quote(text.getvalue())
