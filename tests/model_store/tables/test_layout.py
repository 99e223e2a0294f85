"""Columns with other names: the message proposes an option, and the option works."""

import csv
import gzip
import io
import re
import shlex
from pathlib import Path

import polars as pl
import pytest

from model_store.config import ReadOptions, columns_of
from model_store.data.sources import load
from model_store.errors import DataError

ROWS = [("u1", "i1", "5", "1700000000"), ("u1", "i2", "4", "1700000060"), ("u2", "i1", "1", "1700000120")]
NAMES = ["user_id", "item_id", "value", "timestamp"]


def write(folder: Path, names: list[str], suffix: str = ".csv") -> str:
    rows = [row[: len(names)] for row in ROWS]
    if suffix == ".parquet":
        pl.DataFrame(rows, schema=names, orient="row").write_parquet(folder / "interactions.parquet")
    else:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([names, *rows])
        (folder / "interactions.csv.gz").write_bytes(gzip.compress(text.getvalue().encode()))
    return str(folder)


def proposed(error: DataError) -> ReadOptions:
    """The options that a message proposes, parsed as by the shell and the command line."""
    words = shlex.split(str(error)[str(error).index("--columns") :])
    return ReadOptions(columns=columns_of(words[1]))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "names",
    [
        ["userId", "movieId", "rating", "timestamp"],
        ["USER_ID", "ITEM_ID", "VALUE", "TIMESTAMP"],
        ["User ID", "Item ID", "Value", "Timestamp"],
        ["user_id", " item_id", " value", " timestamp"],
        ["user_id ", "item_id", "value", "timestamp"],
        ["visitorid", "itemid", "count", "time"],
        ["customer_id", "article_id", "quantity", "date"],
        ["reviewerID", "asin", "overall", "unixReviewTime"],
        ["uid", "sku", "score", "created_at"],
        ["user,id", '"item"id', "star's", "ts"],
    ],
)
def test_the_proposed_option_reads_columns_with_other_names(tmp_path, names, suffix):
    plain = tmp_path / "plain"
    plain.mkdir()
    expected = load(write(plain, NAMES)).dataset.fingerprint.sha256
    source = write(tmp_path, names, suffix)
    with pytest.raises(DataError, match=re.escape(f"its columns are {', '.join(map(repr, names))}; ")) as caught:
        load(source)
    assert load(source, proposed(caught.value)).dataset.fingerprint.sha256 == expected


def test_proposal_keeps_the_columns_set_before(tmp_path):
    source = write(tmp_path, ["who", "movieId", "rating", "timestamp"])
    with pytest.raises(DataError, match="--columns user_id=NAME"):
        load(source)
    with pytest.raises(DataError, match="try: --columns user_id=who,item_id=movieId,value=rating") as caught:
        load(source, ReadOptions(columns={"user_id": "who"}))
    assert load(source, proposed(caught.value)).summary.order == "time"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["u0", "i27", "1", "1700000000"], "its first line is data, add a header line above it, e.g. user_id,item_id,"),
        (["user_id", "item_id"], "no column 'value'.* add a column 'value' with a rating, a count, or 1 in every row"),
        (
            ["userId", "item_id"],
            "set --columns user_id=userId for the other columns, and add a column 'value'|no column 'user",
        ),
        (["user_id::item_id::value"], "expected fields separated by commas, semicolons, tabs or |"),
    ],
)
def test_header_without_required_columns_gives_advice(tmp_path, names, expected):
    with pytest.raises(DataError, match=expected):
        load(write(tmp_path, names))


def test_missing_column_of_the_option_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no column 'stars', as set by --columns; its columns are 'user_id', "):
        load(write(tmp_path, NAMES), ReadOptions(columns={"value": "stars"}))


def test_column_of_the_option_takes_precedence(tmp_path):
    pl.DataFrame({"user_id": [1, 2], "client": ["a", "b"], "item_id": [3, 4], "value": [5, 1]}).write_csv(
        tmp_path / "interactions.csv"
    )
    assert load(str(tmp_path), ReadOptions(columns={"user_id": "client"})).dataset.user_ids == ["a", "b"]


def test_options_for_interactions_do_not_rename_other_columns_of_items(tmp_path):
    source = write(tmp_path, ["userId", "movieId", "rating", "timestamp"])
    items = pl.DataFrame({"movieId": ["i1", "i2"], "rating": ["PG", "R"], "title": ["One", "Two"]})
    items.write_csv(tmp_path / "items.csv")
    loaded = load(source, ReadOptions(columns={"user_id": "userId", "item_id": "movieId", "value": "rating"}))
    assert loaded.dataset.titles == ["One", "Two"]


def test_columns_of_items_are_proposed(tmp_path):
    source = write(tmp_path, NAMES)
    pl.DataFrame({"id": ["i1", "i2"], "name": ["One", "Two"]}).write_csv(tmp_path / "items.csv")
    with pytest.raises(DataError, match=r"items\.csv: no column 'item_id'.* try: --columns item_id=id,title=name"):
        load(source)


@pytest.mark.parametrize(
    ("name", "meaning"), [("date", "timestamp"), ("created_at", "timestamp"), ("event_type", "event")]
)
def test_unread_column_with_a_suggestive_name_is_noted(tmp_path, name, meaning):
    notes = load(write(tmp_path, ["user_id", "item_id", "value", name])).summary.notes
    expected = f"is not read: '{name}' may be the {meaning}; to read it, set --columns {meaning}={name}"
    assert any(expected in note.reason for note in notes)


@pytest.mark.parametrize(
    "text",
    [
        *("user_id", "user_id=", "=userId", "user=userId", "user_id=a,user_id=b", "user_id=a,,", "user_id=a,item_id=a"),
        *("user_id=a\nb", "user_id=a\r,item_id=b"),
    ],
)
def test_invalid_columns_option_is_refused(text):
    with pytest.raises(DataError, match=re.escape(f"--columns {text!r}: ")):
        columns_of(text)


def test_columns_option_takes_names_with_commas_quotes_and_blanks():
    assert columns_of('user_id= User ID, item_id=x,"value=a,""b"""') == {
        "user_id": " User ID",
        "item_id": "x",
        "value": 'a,"b"',
    }


@pytest.mark.parametrize("stem", ["interactions", "items", "users"])
@pytest.mark.parametrize("suffixes", [(".csv", ".parquet"), (".csv", ".csv.gz"), (".csv", ".tsv")])
def test_table_in_two_formats_is_refused(tmp_path, stem, suffixes):
    source = write(tmp_path, NAMES, ".parquet") if stem != "interactions" else str(tmp_path)
    for suffix in suffixes:
        (tmp_path / f"{stem}{suffix}").write_bytes(b"any")
    with pytest.raises(DataError, match=rf"has {stem}\.\S+ and {stem}\.\S+, expected one of them; remove or rename"):
        load(source)


def test_folder_of_other_files_lists_them(tmp_path):
    (tmp_path / "ratings.csv").write_text("user_id,item_id,value\n")
    with pytest.raises(DataError, match=r"no interactions\.parquet or interactions\.csv.*folder has ratings\.csv"):
        load(str(tmp_path))


def test_file_as_source_is_refused_with_advice(tmp_path):
    write(tmp_path, NAMES)
    with pytest.raises(DataError, match="is a file; name its folder"):
        load(str(tmp_path / "interactions.csv.gz"))


def test_title_option_without_an_items_file_is_refused(tmp_path):
    write(tmp_path, NAMES)
    with pytest.raises(DataError, match=r"--columns title='name': no items\.parquet or items\.csv"):
        load(str(tmp_path), ReadOptions(columns={"title": "name"}))


@pytest.mark.parametrize("name", ["Items.csv", "items.CSV", "items.txt", "items.json", "USERS.csv"])
def test_file_with_a_name_similar_to_a_table_is_a_warning(tmp_path, name):
    write(tmp_path, NAMES)
    (tmp_path / name).write_text("item_id,title\ni1,a\n")
    (warning,) = load(str(tmp_path)).summary.warnings
    assert f"1 file of {tmp_path} not read: {name!r}; expected items in items.csv or items.parquet" in warning


def test_other_files_are_noted_if_a_table_is_absent(tmp_path):
    write(tmp_path, NAMES)
    (tmp_path / "movies.csv").write_text("movieId,title\ni1,a\n")
    (tmp_path / "README.md").write_text("about")
    summary = load(str(tmp_path)).summary
    assert summary.warnings == ()
    (reason,) = [note.reason for note in summary.notes if "movies.csv" in note.reason]
    assert reason.startswith(f"files of {tmp_path} not read: 'movies.csv'; expected items in items.csv")
    assert reason.endswith("users in users.csv or users.parquet")
