"""CSV files in practice: read correctly, or refused with a message that names the line."""

import csv
import gzip
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest

from model_store.config import ReadOptions
from model_store.data.sources import load
from model_store.errors import DataError
from model_store.tables import csv_files
from model_store.tables.csv_files import read_csv
from model_store.tables.csv_records import open_csv
from model_store.tables.layout import INTERACTIONS, ITEMS, Layout

HEADER = "user_id,item_id,value,name\n"
ROWS = [f"u{row // 5},i{row % 7},{row % 5 + 1},Lamp {row}" for row in range(60)]


@pytest.fixture
def read(tmp_path: Path):
    """Writes a file and reads it back; returns the rows of the columns that are read."""

    def write_and_read(text: str | bytes, layout: Layout = INTERACTIONS, name: str = "interactions.csv", **options):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_csv(path, layout, ReadOptions(**options)).frame.rows()

    return write_and_read


def with_lines(changed: dict[int, str], header: str = HEADER) -> str:
    """The table with some lines replaced, by line number; the header is line 1."""
    lines = [header.rstrip("\n"), *ROWS]
    return "".join(f"{changed.get(number, line)}\n" for number, line in enumerate(lines, 1))


@pytest.mark.parametrize("name", ['TV 24" black', '"best" buy', '"Crocodile" Dundee', '"a ""quoted"" name"', 'x"'])
@pytest.mark.parametrize("lines", [[3], [3, 40], [2, 3, 61]])
@pytest.mark.parametrize("column", ["first", "last"])
def test_no_row_is_lost_if_an_unread_column_contains_quotes(read, name, lines, column):
    rows = [line.split(",") for line in ROWS]
    for line in lines:
        rows[line - 2][3] = name
    order = [3, 0, 1, 2] if column == "first" else [0, 1, 2, 3]
    table = [HEADER.strip().split(","), *rows]
    text = "".join(",".join(row[index] for index in order) + "\n" for row in table)
    assert read(text) == [tuple(row[:3]) for row in rows]


def test_no_row_is_lost_to_rare_quotes_in_many_rows(read):
    names = ['TV 24" black' if row % 97 == 0 else "Lamp" for row in range(120_000)]
    text = HEADER + "".join(f"u{row % 999},i{row % 77},1,{name}\n" for row, name in enumerate(names))
    assert read(text) == [(f"u{row % 999}", f"i{row % 77}", "1") for row in range(120_000)]


@pytest.mark.parametrize("read_name", [True, False])
def test_many_plain_rows_keep_their_columns(read, read_name):
    # Large enough for polars to read the text in several pieces.
    text = HEADER + "".join(f"u{row},i{row % 77},{row % 5},n{row}\n" for row in range(200_000))
    layout = Layout("interactions", ("user_id", "item_id", "value"), open=read_name)
    expected = [(f"u{row}", f"i{row % 77}", f"{row % 5}", f"n{row}")[: 4 if read_name else 3] for row in range(200_000)]
    assert read(text, layout) == expected


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        (7, 'u1,i1,5,"best buy', "opens a quote that is never closed"),
        (7, 'u1,"i2 half quote,5,x', "opens a quote that is never closed"),
        (61, 'u1,i1,5,"', "opens a quote that is never closed"),
        (7, "u1,i2", "has 2 fields, expected 4 as in the header"),
        (7, "u1", "has 1 field, expected 4 as in the header"),
        (7, " ", "has 1 field, expected 4 as in the header"),
        (61, "u1,i2,5", "has 3 fields, expected 4 as in the header"),
        (7, "u1,i2,5,Lamp, large", "has 5 fields, expected 4 .*; put fields that contain ',' in double quotes"),
        (61, "u1,i2,5,Lamp,", "has 5 fields, expected 4 as in the header"),
    ],
)
def test_invalid_line_is_refused_with_its_number_and_text(read, line, text, expected):
    with pytest.raises(DataError, match=rf"interactions\.csv: line {line}: '{text}' {expected}"):
        read(with_lines({line: text}))


def test_short_line_is_refused_even_if_a_long_one_balances_the_count(read):
    with pytest.raises(DataError, match=r"line 7: 'u1,i2' has 2 fields, expected 4 as in the header"):
        read(with_lines({7: "u1,i2", 30: "u1,i2,5,Lamp,a,b"}))


@pytest.mark.parametrize("closing", [8, 9, 30])
@pytest.mark.parametrize("opening", ['u1,i1,5,"Opened here', 'u1,"i1,5,Opened here', '"u1,i1,5,Opened here'])
def test_quoted_field_with_rows_of_events_is_refused(read, opening, closing):
    closed = 'u3,i3,4,closed here"'
    with pytest.raises(
        DataError,
        match=r"interactions\.csv: line 7: .* opens a quote that is closed on a later line.*; write quotes as",
    ):
        read(with_lines({7: opening, closing: closed}))


def test_quoted_field_with_rows_of_items_is_refused(read):
    lines = [f"i{item},Title {item}" for item in range(30)]
    lines[3], lines[20] = 'i3,"Opened here', 'i20,closed here"'
    with pytest.raises(
        DataError, match=r"items\.csv: line 5: 'i3,\"Opened here' opens a quote that is closed on a later"
    ):
        read("item_id,title\n" + "\n".join(lines), ITEMS, "items.csv")


@pytest.mark.parametrize(
    "make",
    [
        str,
        lambda number: f"B{number:09d}",
        lambda number: str(UUID(int=number * 7919**9)),
        lambda number: sha256(str(number).encode()).hexdigest()[:24],
        lambda number: b64encode(sha256(str(number).encode()).digest()[:8]).decode(),
        lambda number: "the-" * (number % 3) + "book",
    ],
)
@pytest.mark.parametrize("length", [1, 2, 17])
def test_rows_inside_a_quoted_field_are_recognised_by_ids_of_any_shape(read, make, length):
    lines = [f"{make(number)},Title {number}" for number in range(300)]
    lines[30], lines[30 + length] = f'{make(30)},"Opened here', f'{make(30 + length)},closed here"'
    with pytest.raises(DataError, match=r"items\.csv: line 32: .* closed on a later line"):
        read("item_id,title\n" + "\n".join(lines), ITEMS, "items.csv")


def test_quoted_text_of_several_lines_is_one_field(read):
    text = 'item_id,title\ni1,"The ""1"" inch, 12"" vinyl\nsecond line, with a comma\r\nthird"\ni2,Plain\n'
    assert read(text, ITEMS, "items.csv") == [
        ("i1", 'The "1" inch, 12" vinyl\nsecond line, with a comma\r\nthird'),
        ("i2", "Plain"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_separators_line_ends_and_quoting_of_all_kinds_are_read(tmp_path, read, end, separator, quoting):
    rows = [("u1", "i1", "4,5"), ("u2", "i;2", "1"), ("u3", "007", "2")]
    with (tmp_path / "written.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
        writer.writerows([("user_id", "item_id", "value"), *rows])
    assert read((tmp_path / "written.csv").read_bytes()) == rows


@pytest.mark.parametrize("blank", ["\n", "\r\n"])
def test_blank_lines_are_skipped(read, blank):
    end = "\n" if blank == "\n" else "\r\n"
    text = blank + end.join(["user_id,item_id,value", "u1,i1,1", "", "u2,i2,2", "", ""])
    assert read(text) == [("u1", "i1", "1"), ("u2", "i2", "2")]


def test_comments_above_the_header_are_skipped_and_noted(tmp_path):
    (tmp_path / "interactions.csv").write_text("# exported 2024\n#\n" + with_lines({}))
    assert any(
        note.count == 2 and "skipped, because of # at the start" in note.reason
        for note in load(str(tmp_path)).summary.notes
    )


def test_separator_line_of_spreadsheets_decides_the_separator(read):
    assert read("sep=;\nuser_id;item_id;value\nu1;i1;1,5\n") == [("u1", "i1", "1,5")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_names_the_encoding(read, encoding):
    assert read("user_id,item_id,value\nué1,日本,1\n".encode(encoding)) == [("ué1", "日本", "1")]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le", "shift_jis"])
def test_encoding_can_be_set(read, encoding):
    word = "日本" if encoding == "shift_jis" else "é"
    text = f"user_id,item_id,value\nu1,{word},1\n" * 1
    assert read(text.encode(encoding), encoding=encoding) == [("u1", word, "1")]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("line", [2, 31, 61])
def test_text_that_is_not_utf_8_is_refused_with_its_line_and_what_to_do(read, line, quote):
    text = with_lines({line: f"u1,i1,1,{quote}caf\xe9{quote}"}).encode("latin-1")
    expected = rf"interactions\.csv: line {line}: byte 0xe9 is not utf-8; .*: --encoding cp1252, or --encoding latin-1"
    with pytest.raises(DataError, match=expected):
        read(text)


@pytest.mark.parametrize(
    ("content", "encoding", "expected"),
    [
        (b"", "utf-8", "is empty, expected a header line, e.g. user_id,item_id,value"),
        (b"\n \n", "utf-8", "is empty, expected a header line"),
        (
            "user_id,item_id,value\n".encode("utf-16-le"),
            "utf-8",
            "zero bytes as in UTF-16; .* add --encoding utf-16-le",
        ),
        (b"PK\x03\x04 sheet", "utf-8", "is a zip archive or an Excel file; unpack it, or save the sheet as CSV"),
        (b"PAR1 rows PAR1", "utf-8", "is a Parquet file; name it .parquet"),
        (gzip.compress(b"user_id,item_id,value\nu,i,1\n" * 99)[:40], "utf-8", "gzip file is damaged or incomplete"),
        (b"user_id,item_id,value\nu,i,1\n", "klingon", "--encoding 'klingon': no such encoding; expected one such as"),
        (b"user_id,item_id,value\nu,i,1\n", "base64", "--encoding 'base64': no such encoding"),
        (b"user_id,item_id,value\nu,\xe9,1\n", "ascii", "line 2: byte 0xe9 is not ascii"),
        (b'user_id,item_id,"value\nu,i,1\n', "utf-8", "the header (spans several lines|cannot be read)"),
        (b"user_id,item_id,value\nu,i," + b"9" * 200_000, "utf-8", None),
        (b'user_id,item_id,value\nu,i,"' + b"9" * 200_000, "utf-8", "line 2: .* larger than field limit"),
    ],
)
def test_file_that_is_not_a_table_is_refused_with_its_type(read, content, encoding, expected):
    if expected is None:
        assert read(content, encoding=encoding) == [("u", "i", "9" * 200_000)]
        return
    with pytest.raises(DataError, match=expected):
        read(content, encoding=encoding)


@pytest.mark.parametrize("name", ["interactions.csv.gz", "interactions.csv", "interactions.tsv.gz"])
def test_gzip_is_recognised_by_its_content(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(with_lines({}).encode()))
    assert load(str(tmp_path)).dataset.fingerprint.users == 12


@pytest.mark.parametrize(
    "names", ["user_id,item_id,value,value", "user_id,item_id,user_id,value", "user_id,item_id,value,a,a"]
)
def test_two_columns_with_the_same_name_are_refused(read, names):
    with pytest.raises(DataError, match=r"columns \d and \d have the same name '\w+'; rename or remove all but one"):
        read(names + "\n")


@pytest.mark.parametrize("name", ["", " ", "Unnamed: 0"])
def test_column_without_a_name_is_not_a_feature_of_items(tmp_path, name):
    (tmp_path / "interactions.csv").write_text(with_lines({}))
    (tmp_path / "items.csv").write_text(f"{name},item_id,title,\n" + "".join(f"{n},i{n},T,\n" for n in range(7)))
    loaded = load(str(tmp_path))
    assert not loaded.dataset.features.names
    assert any(note.count == 2 and "because of a missing name" in note.reason for note in loaded.summary.notes)


@pytest.mark.parametrize("above", ["", "# comment\n", "\n\n"])
@pytest.mark.parametrize("before", ["", 'u1,i1,1,"one\ntwo"\n', "\n"])
def test_bad_cell_is_named_with_the_line_of_the_file(tmp_path, above, before):
    text = f"{above}{HEADER}{before}u1,i1,1,x\nu2,i2,bad,x\n"
    line = text[: text.index("bad")].count("\n") + 1
    (tmp_path / "interactions.csv").write_text(text)
    with pytest.raises(DataError, match=rf"interactions\.csv: column 'value', line {line}: 'bad', expected a number"):
        load(str(tmp_path))


def test_plain_text_is_split_by_polars_and_quoted_text_by_csv(tmp_path):
    # Reading with csv alone would give the same rows, but take minutes for a large table.
    for text, is_plain in ((with_lines({}), True), (with_lines({3: 'u1,i1,1,"x"'}), False)):
        path = tmp_path / "interactions.csv"
        path.write_text(text)
        frame = csv_files._read_with_polars(open_csv("a", path, INTERACTIONS, ReadOptions()), {1: "item_id", 3: "name"})
        assert (frame is not None) == is_plain


def test_row_with_a_zero_byte_in_an_id_is_dropped_and_counted(tmp_path):
    (tmp_path / "interactions.csv").write_text(with_lines({7: "u\0,i1,5,Lamp"}))
    summary = load(str(tmp_path)).summary
    assert any(note.count == 1 and "control characters" in note.reason for note in summary.notes)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "iso8859-15"])
def test_utf_8_that_is_read_in_another_encoding_is_a_warning(tmp_path, encoding):
    lines = ["user_id,item_id,value", *(f"u{row},Caf\u00e9 {row},{row % 5 + 1}" for row in range(6))]
    options = ReadOptions(encoding=encoding)
    (tmp_path / "interactions.csv").write_text("\n".join(lines), encoding="utf-8")
    (warning,) = load(str(tmp_path), options).summary.warnings
    assert f"contains UTF-8 text, but was read as {encoding}; remove --encoding" in warning
    (tmp_path / "interactions.csv").write_text("\n".join(lines), encoding=encoding)
    assert load(str(tmp_path), options).summary.warnings == ()
