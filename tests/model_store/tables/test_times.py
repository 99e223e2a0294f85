"""Timestamps in various notations, compared with Python's ``datetime``."""

from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.data.sources import load
from model_store.errors import DataError
from model_store.tables.notes import Note
from model_store.tables.table import Table
from model_store.tables.times import seconds

MOMENTS = [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) + timedelta(days=day, seconds=day) for day in range(20)]
EXPECTED = [moment.timestamp() for moment in MOMENTS]
DAYS = [datetime(moment.year, moment.month, moment.day, tzinfo=UTC).timestamp() for moment in MOMENTS]


def read(cells: list[object]) -> tuple[list[float | None], list[str]]:
    column = seconds(Table("events", pl.DataFrame({"timestamp": cells}, strict=False)), "timestamp")
    return column.cells.to_list(), [note.reason for note in column.notes]


def written(form: str) -> list[str]:
    return [moment.strftime(form) for moment in MOMENTS]


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize(("unit", "factor"), [("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9)])
def test_finer_units_than_seconds_are_recognised_and_noted(unit, factor, as_text):
    numbers = [int(moment) * factor for moment in EXPECTED]
    times, notes = read([str(number) for number in numbers] if as_text else numbers)
    assert times == pytest.approx(EXPECTED, abs=1e-3)
    assert notes == [f"numbers of timestamp read as {unit} since 1970"]


@pytest.mark.parametrize(
    ("form", "expected", "note"),
    [
        ("%Y-%m-%d %H:%M:%S", EXPECTED, None),
        ("%Y-%m-%dT%H:%M:%SZ", EXPECTED, None),
        ("%Y-%m-%dT%H:%M:%S.000000000Z", EXPECTED, None),
        ("%Y-%m-%d %H:%M:%S UTC", EXPECTED, None),
        ("%Y-%m-%d %H:%M:%S+00:00", EXPECTED, None),
        ("%Y/%m/%d %H:%M:%S", EXPECTED, None),
        ("%Y-%m-%d", DAYS, None),
        ("%d/%m/%Y %H:%M:%S", EXPECTED, "dates of timestamp read as day/month/year"),
        ("%d.%m.%Y, %H:%M:%S", EXPECTED, "dates of timestamp read as day/month/year"),
        ("%m/%d/%Y %I:%M:%S %p", EXPECTED, "dates of timestamp read as month/day/year"),
        ("%m-%d-%Y", DAYS, "dates of timestamp read as month/day/year"),
        ("%Y%m%d", DAYS, "numbers of timestamp read as dates, YYYYMMDD"),
        ("%Y%m%d%H%M%S", EXPECTED, "numbers of timestamp read as dates, YYYYMMDD"),
    ],
)
def test_notations_of_dates_are_read_and_choices_are_noted(form, expected, note):
    assert read(written(form)) == (expected, [note] if note else [])


@settings(deadline=None)  # compiling patterns takes long on a busy machine
@given(moment=st.datetimes(datetime(1973, 4, 1), datetime(2099, 12, 31)), offset=st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001 - the zone is drawn
def test_iso_8601_is_read_as_python_reads_it(moment, offset):
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    texts = [zoned.isoformat(), zoned.isoformat(" "), zoned.isoformat(timespec="microseconds")]
    assert read(texts)[0] == pytest.approx([datetime.fromisoformat(texts[0]).timestamp()] * 3, abs=1e-5)
    naive = moment.isoformat()
    assert read([naive])[0] == pytest.approx([moment.replace(tzinfo=UTC).timestamp()], abs=1e-5)


@settings(deadline=None)
@given(days=st.lists(st.dates(date(1973, 4, 1), date(2099, 12, 31)), min_size=1))
def test_days_are_read_correctly_in_either_order_or_refused(days):
    expected = [datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in days]
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        texts = [day.strftime(form) for day in days]
        if any(day.day > 12 for day in days):
            assert read(texts)[0] == expected
        else:
            with pytest.raises(DataError, match="which may mean day/month or month/day"):
                read(texts)


def test_fractions_of_seconds_in_some_rows_are_read():
    times, _ = read(["2023-11-14 22:13:20", "2023-11-14 22:13:20.250", "2023-11-14 22:13:20,5", "2023-11-14 22:13"])
    assert times == [EXPECTED[0], EXPECTED[0] + 0.25, EXPECTED[0] + 0.5, EXPECTED[0] - 20]


def test_times_of_a_twelve_hour_clock_are_read():
    texts = [f"11/14/2023 {hour}:00 {half}" for half in ("AM", "pm") for hour in (12, 1, 11)]
    hours = [(time - DAYS[0]) / 3600 for time in read(texts)[0]]
    assert hours == [0, 1, 11, 12, 13, 23]


@pytest.mark.parametrize("missing", ["", " ", "NaT", "nan", "NULL", "None", None])
def test_words_for_a_missing_time_are_missing(missing):
    assert read(["2023-11-14 22:13:20", missing])[0] == [EXPECTED[0], None]
    assert read(["1700000000", missing])[0] == [EXPECTED[0], None]


@pytest.mark.parametrize(("mark", "reason"), [(0, "before 1973"), (-1, "before 1970"), (4_200_000_000, "after 2099")])
def test_markers_of_a_missing_time_are_read_as_missing_and_noted(mark, reason):
    times, notes = read([*EXPECTED, mark])
    assert times == [*EXPECTED, None]
    assert notes == [f"times of timestamp {reason}, read as missing"]


@pytest.mark.parametrize("mark", [datetime(9999, 12, 31), datetime(1970, 1, 1), datetime(1900, 1, 1)])  # noqa: DTZ001 - as in tables
def test_markers_among_date_times_are_read_as_missing(mark):
    naive = [moment.replace(tzinfo=None) for moment in MOMENTS]
    assert read([*naive, mark])[0] == [*EXPECTED, None]
    assert read([*(str(moment) for moment in naive), str(mark)])[0] == [*EXPECTED, None]


@pytest.mark.parametrize("mark", [0, -1])
@pytest.mark.parametrize("factor", [1000, 10**9])
def test_markers_of_a_missing_time_are_read_as_missing_in_finer_units_and_among_dates(mark, factor):
    assert read([*(int(moment) * factor for moment in EXPECTED), mark])[0] == [*EXPECTED, None]
    assert read([*(int(text) for text in written("%Y%m%d")), mark])[0] == [*DAYS, None]


def test_small_numbers_keep_their_order_and_are_noted():
    times, notes = read([45244.5, 3, 45245.25])
    assert times == [45244.5, 3, 45245.25]
    assert notes == ["times of timestamp before 1973: only their order is used"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([11_700_000_000, 11_700_000_060], r"row 1: 11700000000, which is after 2099 \(the year 2340\), like most"),
        ([-1_700_000_000, -1_700_000_060], r"row 1: -1700000000, which is before 1970 \(the year 1916\), like most"),
        (
            [1_700_000_000, 1_700_000_000_000],
            "row 1: 1700000000, seconds by its size, but row 2 has milliseconds: 170",
        ),
        ([10**21, 10**21], "row 1: .*, expected seconds since 1970"),
        (["04/01/2024", "01/04/2024"], "row 1: '04/01/2024', which may mean day/month or month/day: no row has a day"),
        (
            ["13/01/2024", "01/13/2024"],
            "row 1: '13/01/2024', with the day first, but row 2 has it second: '01/13/2024'",
        ),
        (["2023-11-14", "2023-11-15", "14/11/23"], "row 3: '14/11/23', expected seconds since 1970, or ISO 8601"),
        (["2023-11-14", "2023-02-30"], "row 2: '2023-02-30', expected seconds since 1970"),
        ([20231114, 20231115, 20230230], "row 3: 20230230, expected a date of the form YYYYMMDD, as in other rows"),
        (["2023-11-14 25:00", "2023-11-14"], "row 1: '2023-11-14 25:00', expected seconds"),
        (["2023-11-14", "2023-11-14", "soon"], "row 3: 'soon', expected seconds since 1970"),
        (["2023-11-14", "2023-11-14", "1700000000"], "row 3: '1700000000', expected seconds since 1970"),
        (["1700000000", "1700000000", "2023-11-14"], "row 3: '2023-11-14', expected a number, as in other rows"),
        (["1.70E+09", "1.71E+09"], "row 1: '1.70E\\+09', a rounded number; export it in full"),
        (["2023-11-14T22:00:00Z", "2023-11-14T22:00:00"], "row 2: '2023-11-14T22:00:00', expected a time zone as in"),
        ([timedelta(1)], r"is Duration\(time_unit='us'\), expected seconds since 1970"),
    ],
)
def test_invalid_and_ambiguous_times_are_refused_with_their_row(cells, expected):
    with pytest.raises(DataError, match="events: column 'timestamp'(, | )" + expected):
        read(cells)


@pytest.mark.parametrize("missing", ["", "NaT", "nan", "NULL"])
def test_event_without_a_time_is_dropped_and_the_order_stays(write_source, missing):
    texts = [*written("%Y-%m-%d %H:%M:%S")[:7], missing]
    events = {
        "user_id": ["u"] * 4 + ["v"] * 4,
        "item_id": list("abcdabcd"),
        "value": [1, 2, 3, 4] * 2,
        "timestamp": texts,
    }
    loaded = load(write_source(events, suffix=".csv"))
    assert loaded.summary.order == "time"
    assert Note(1, "events dropped: timestamp is missing") in loaded.summary.notes
    assert loaded.dataset.events.times.tolist() == EXPECTED[:7]
