"""Files about items and users whose ids are not those of the events: refused, with the likely reason."""

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
def test_ids_that_went_through_a_change_are_refused_with_it(change, reason, swapped):
    sides = [PLAIN, [change(text) for text in PLAIN]]
    ids, event_ids = sides[::-1] if swapped else sides
    with pytest.raises(DataError) as refused:
        check(ids, event_ids)
    message = str(refused.value)
    assert message.startswith("items.csv: none of its 40 item ids occurs in the events: the file has '")
    assert f"likely reason: {reason}" in message
    for three in (sorted(ids)[:3], sorted(event_ids)[:3]):
        assert ", ".join(map(repr, three)) in message


def test_capital_letters_and_punctuation_are_reasons_too():
    with pytest.raises(DataError, match="capital and small letters"):
        check(["AB", "CD"], ["ab", "cd"])
    with pytest.raises(DataError, match="punctuation"):
        check(["a-b", "c-d"], ["ab", "cd"])


def test_ids_of_other_data_are_refused_without_a_reason():
    with pytest.raises(DataError, match="both must hold the same ids; write them alike, or remove the file"):
        check(["x", "y"], PLAIN)
    with pytest.raises(DataError, match="only 1 of its 1,000 item ids"):
        check(["1", *(f"x{number}" for number in range(999))], [str(number) for number in range(1000)])


def test_an_empty_file_and_ids_that_all_match_are_no_matter_of_ids():
    assert check([], PLAIN) == check([*PLAIN, "unsold"], PLAIN) == []


def test_a_file_of_few_of_the_items_is_warned_of():
    (warning,) = check(PLAIN[:10], PLAIN)
    assert (
        "only 10 of the 40 items of the events are in it: the file has no others, the events have '11', '12'" in warning
    )
    assert check(PLAIN[:10], PLAIN, "user") == []  # of few users something is known: that is common


def test_ids_of_which_some_lost_their_zeros_are_warned_of():
    (warning,) = check(PLAIN, [text.zfill(2) for text in PLAIN])
    assert (
        "9 item ids of the events are absent: the file has '1', '2', '3', …, the events have '01', '02', '03', …"
        in warning
    )
    assert "leading zeros" in warning


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_source_whose_items_or_users_are_not_its_own_is_refused(write_source, suffix):
    items = {"item_id": [text.zfill(5) for text in PLAIN], "title": PLAIN}
    with pytest.raises(DataError, match=rf"items\{suffix}: none of its 40 item ids .*leading zeros"):
        load(write_source(EVENTS, items, suffix))
    users = {"user_id": [f"u{text}" for text in PLAIN], "plan": ["a"] * 40}
    with pytest.raises(DataError, match=rf"users\{suffix}: none of its 40 user ids .*prefix"):
        load(write_source(EVENTS, items | {"item_id": PLAIN}, suffix, users))


@pytest.mark.parametrize("other", ["caf\u00e9 {}", "cafe\u0301 {}\u200b", "\ufeffcaf\u00e9 {}"])
def test_ids_that_look_alike_are_refused_with_what_differs(other):
    ids, event_ids = ([form.format(number) for number in range(40)] for form in (other, "cafe\u0301 {}"))
    with pytest.raises(DataError, match="likely reason: characters that look alike") as refused:
        check(ids, event_ids)
    assert ascii(min(event_ids)) in str(refused.value)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (lambda text: f"{text}.0", "a fraction of 0"),
        (lambda text: text.zfill(6), "leading zeros"),
        (lambda text: f"A{text}", "capital and small letters"),
        (lambda text: f"a\u200b{text}", "characters that look alike, or invisible ones"),
    ],
)
@pytest.mark.parametrize("column", ["item_id", "user_id"])
def test_ids_of_the_events_in_two_spellings_are_a_warning(write_source, second, reason, column):
    first = (lambda text: text) if "." in second("1") or second("1").isdigit() else (lambda text: f"a{text}")
    cells = [(second if row % 3 else first)(text) for row, text in enumerate(EVENTS[column])]
    (warning,) = load(write_source(EVENTS | {column: cells}, suffix=".csv")).summary.warnings
    assert f"{column.removesuffix('_id')} ids stand in a second spelling" in warning
    assert f"they differ in {reason}" in warning


def test_codes_that_differ_in_case_or_zeros_now_and_then_are_no_spellings():
    codes = [f"a{number}" for number in range(100)] + ["A7", "0815", "815"]
    assert check_spellings("interactions.csv", pl.Series(codes), "item") == []
