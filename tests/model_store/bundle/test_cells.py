"""Text of cells: the same meaning in a table and in a request."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import Attributes
from model_store.bundle.cells import boolean_of, date_of, list_of, number_of, text_of, year_fraction
from model_store.content.numbers import bin_names


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("1e5", 1e5),
        ("$12.50", 12.5),
        ("12,50 €", 12.5),
        ("EUR 5", 5),
        ("12 %", 12),
        ("1,234.50", 1234.5),
        ("1.234,50", 1234.5),
        ("1'234.50", 1234.5),
        ("1 234,5", 1234.5),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),
        ("1,234", 1234),
        ("0,234", 0.234),
        ("\u22125", -5),
        ("inf", float("inf")),
    ],
)
def test_numbers_in_usual_notations(text: str, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(
    "text", ["", "$", "abc", "1_000", "0x1", "1.2.3", "12,345,6", "1-2", "3+", "nan", "1, 5", "5 kg"]
)
def test_other_text_is_not_a_number(text: str) -> None:
    assert number_of(text) is None


def test_the_decimal_mark_of_the_column_decides_about_a_lone_mark_before_three_digits() -> None:
    assert [number_of("1,234", mark) for mark in (None, ".", ",")] == [1234, 1234, 1.234]
    assert [number_of("1.234", mark) for mark in (None, ".", ",")] == [1.234, 1.234, 1234]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_python_writes_it_is_read_back(number: float) -> None:
    assert number_of(repr(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "['Action', \"Children's\"]",
        '["Action", "Children\'s"]',
        '[Action, "Children\'s"]',
        "['Action' \"Children's\"]",
        '{Action,"Children\'s"}',
        "('Action', \"Children's\")",
        "[ 'Action' ,\n 'Children\\'s' ]",
        "[{'id': 28, 'name': 'Action'}, {'id': 7, 'name': \"Children's\"}]",
        '[{"name": "Action"}, {"name": "Children\'s"}]',
    ],
)
def test_lists_in_the_usual_notations(text: str) -> None:
    assert list_of(text) == ["Action", "Children's"]


def test_numbers_in_brackets_keep_their_order() -> None:
    assert list_of("[0.1, 2, -3e-1]") == ["0.1", "2", "-0.3"]
    assert list_of("[ 0.1  nan\n 1. ]") == ["0.1", "nan", "1."]
    assert list_of("[1, null, true]") == ["1", "null", "true"]
    assert list_of("[]") == list_of("{}") == []


@pytest.mark.parametrize(
    "text", ["", "[", "a, b", "(live)", "[[1], [2]]", "{'a': 1}", "[a] and [b", "['a', 'b'", '[{"id": 1}]']
)
def test_other_text_is_not_a_list(text: str) -> None:
    assert list_of(text) is None


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1).map(str.strip).filter(bool)))
def test_lists_as_python_and_json_write_them_are_read_back(elements: list[str]) -> None:
    printable = [element for element in elements if element.isprintable()]
    assert list_of(json.dumps(elements)) == elements
    assert list_of(repr(printable)) == printable


def test_booleans_in_any_case() -> None:
    assert [boolean_of(text) for text in ("True", "TRUE", "yes", "no", "False", "1", "maybe")] == [
        True, True, True, False, False, None, None
    ]  # fmt: skip


def test_dates_with_and_without_time() -> None:
    assert (
        date_of("1999-12-31")
        == date_of("1999-12-31T23:59:59+02:00")
        == date_of("1999-12-31 23:59")
        == date(1999, 12, 31)
    )
    assert date_of("1999-05") == date(1999, 5, 1)
    assert [date_of(text) for text in ("1999", "1999-13-01", "1999-02-30", "31-12-1999", "1999-12-31x")] == [None] * 5


@given(st.dates())
def test_a_day_is_the_same_part_of_its_year_in_a_table_and_alone(day: date) -> None:
    (name,) = bin_names(pl.Series("day", [day]))
    assert name == f"day={text_of(year_fraction(day))}..{text_of(year_fraction(day))}"
    assert day.year <= year_fraction(day) < day.year + 1


HOSTILE = [
    "[" + " " * 100_000 + "[]",
    "1" + " " * 100_000 + "x",
    "list([" + ",a=" * 50_000 + "(])",
    "['" + "\\'" * 50_000 + "]",
    "[" * 100_000 + "]" * 100_000,
    "[{" + "'name':" * 50_000 + "}]",
    "," * 100_000,
    "1," * 50_000,
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_takes_time_in_proportion_to_its_length(text: str) -> None:
    assert number_of(text) is None
    assert boolean_of(text) is date_of(text) is None
    list_of(text)
    Attributes(["likes=jazz", "age=1..2"]).unknown({"likes": text, "age": text})
