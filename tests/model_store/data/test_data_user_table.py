from pathlib import Path

import polars as pl
import pytest

from model_store.data.user_table import user_attributes
from model_store.errors import DataError

USERS = {"user_id": [3, 1, 2], "gender": ["F", "M", "F"], "job": ["x", "x", "y"]}


def names_by_user(source: Path, user_ids: list[str]) -> list[set[str]]:
    found = user_attributes(str(source), user_ids)
    spans = zip(found.indptr[:-1], found.indptr[1:], strict=True)
    return [{found.names[feature] for feature in found.indices[start:end]} for start, end in spans]


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_attributes_stand_in_the_order_of_the_users(tmp_path: Path, suffix: str):
    table, path = pl.DataFrame(USERS), tmp_path / f"users{suffix}"
    table.write_parquet(path) if suffix == ".parquet" else table.write_csv(path)
    expected = [{"job=x"}, {"gender=F"}, set(), {"gender=F", "job=x"}]
    assert names_by_user(tmp_path, ["1", "2", "20", "3"]) == expected


def test_a_source_without_a_table_of_users_knows_nothing_about_them(tmp_path: Path):
    assert names_by_user(tmp_path, ["a", "b"]) == [set(), set()]
    assert user_attributes("demo:movies", ["a"]).names == []


def test_of_two_rows_about_one_user_the_last_counts(tmp_path: Path):
    pl.DataFrame({"user_id": ["a", "a", "b"], "job": ["y", "x", "x"]}).write_parquet(tmp_path / "users.parquet")
    assert names_by_user(tmp_path, ["a", "b"]) == [{"job=x"}, {"job=x"}]


@pytest.mark.parametrize("content", [b"not a table", b""])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "users.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"users\.parquet: cannot be read"):
        user_attributes(str(tmp_path), ["a"])


def test_a_table_without_user_ids_is_refused(tmp_path: Path):
    pl.DataFrame({"gender": ["F"]}).write_parquet(tmp_path / "users.parquet")
    with pytest.raises(DataError, match="no column 'user_id'"):
        user_attributes(str(tmp_path), ["a"])
