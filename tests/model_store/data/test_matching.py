"""Ids of items and users that do not match the events: refused with the likely reason."""

import polars as pl
import pytest

from model_store.data.matching import check_ids, check_spellings
from model_store.data.sources import load
from model_store.errors import DataError

PLAIN = [str(number) for number in range(1, 41)]
EVENTS = {"user_id": PLAIN * 2, "item_id": PLAIN[20:] + PLAIN + PLAIN[:20], "value": [1.0 + n % 5 for n in range(80)]}


def check(ids, event_ids, noun="item"):
    return check_ids("items.csv", pl.Series(ids), pl.Series(event_ids), noun)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: f"{text}.0", "numbers with a fraction or an exponent"),
        (lambda text: f"{text}e0", "numbers with a fraction or an exponent"),
        (lambda text: text.zfill(5), "leading zeros"),
        (lambda text: f" {text} ", "blanks around the ids"),
        (lambda text: f"item-{text}", "a prefix"),
        (lambda text: f"B{text}", "a prefix"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_changed_ids_are_refused_with_the_change(change, reason, swapped):
    sides = [PLAIN, [change(text) for text in PLAIN]]
    ids, event_ids = sides[::-1] if swapped else sides
    with pytest.raises(DataError) as refused:
        check(ids, event_ids)
    message = str(refused.value)
    assert message.startswith("items.csv: none of its 40 item ids occurs in the events: the file has '")
    assert f"likely reason: {reason}" in message
    for first in (sorted(ids)[:3], sorted(event_ids)[:3]):
        assert ", ".join(map(repr, first)) in message


def test_case_and_punctuation_are_likely_reasons():
    with pytest.raises(DataError, match="upper and lower case"):
        check(["AB", "CD"], ["ab", "cd"])
    with pytest.raises(DataError, match="punctuation"):
        check(["a-b", "c-d"], ["ab", "cd"])


def test_ids_of_other_data_are_refused_without_a_reason():
    with pytest.raises(DataError, match="both must use the same ids; correct the ids, or remove the file"):
        check(["x", "y"], PLAIN)
    with pytest.raises(DataError, match="only 1 of its 1,000 item ids"):
        check(["1", *(f"x{number}" for number in range(999))], [str(number) for number in range(1000)])


def test_an_empty_file_and_matching_ids_give_no_warning():
    assert check([], PLAIN) == check([*PLAIN, "unsold"], PLAIN) == []


def test_a_file_with_few_of_the_items_is_a_warning():
    (warning,) = check(PLAIN[:10], PLAIN)
    assert (
        "the file has only 10 of the events' 40 items: the file has no other ids, the events have '11', '12'" in warning
    )
    assert check(PLAIN[:10], PLAIN, "user") == []  # it is common that few users have attributes


def test_some_ids_without_leading_zeros_are_a_warning():
    (warning,) = check(PLAIN, [text.zfill(2) for text in PLAIN])
    assert (
        "the file lacks 9 item ids of the events: the file has '1', '2', '3', …, the events have '01', '02', '03', …"
        in warning
    )
    assert "leading zeros" in warning


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_source_with_items_or_users_of_other_data_is_refused(write_source, suffix):
    items = {"item_id": [text.zfill(5) for text in PLAIN], "title": PLAIN}
    with pytest.raises(DataError, match=rf"items\{suffix}: none of its 40 item ids .*leading zeros"):
        load(write_source(EVENTS, items, suffix))
    users = {"user_id": [f"u{text}" for text in PLAIN], "plan": ["a"] * 40}
    with pytest.raises(DataError, match=rf"users\{suffix}: none of its 40 user ids .*prefix"):
        load(write_source(EVENTS, items | {"item_id": PLAIN}, suffix, users))


@pytest.mark.parametrize("other", ["caf\u00e9 {}", "cafe\u0301 {}\u200b", "\ufeffcaf\u00e9 {}"])
def test_ids_that_look_alike_are_refused_with_the_difference(other):
    ids, event_ids = ([form.format(number) for number in range(40)] for form in (other, "cafe\u0301 {}"))
    with pytest.raises(DataError, match="likely reason: characters that look alike") as refused:
        check(ids, event_ids)
    assert ascii(min(event_ids)) in str(refused.value)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (lambda text: f"{text}.0", "a fraction of 0"),
        (lambda text: text.zfill(6), "leading zeros"),
        (lambda text: f"A{text}", "upper and lower case"),
        (lambda text: f"a\u200b{text}", "characters that look alike, or invisible ones"),
    ],
)
@pytest.mark.parametrize("column", ["item_id", "user_id"])
def test_ids_of_the_events_in_two_spellings_are_a_warning(write_source, second, reason, column):
    first = (lambda text: text) if "." in second("1") or second("1").isdigit() else (lambda text: f"a{text}")
    cells = [(second if row % 3 else first)(text) for row, text in enumerate(EVENTS[column])]
    (warning,) = load(write_source(EVENTS | {column: cells}, suffix=".csv")).summary.warnings
    assert f"{column.removesuffix('_id')} ids with a second spelling" in warning
    assert f"which differ in {reason}" in warning


def test_codes_that_rarely_differ_in_case_or_zeros_give_no_warning():
    codes = [f"a{number}" for number in range(100)] + ["A7", "0815", "815"]
    assert check_spellings("interactions.csv", pl.Series(codes), "item") == []
