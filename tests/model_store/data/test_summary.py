import json
from itertools import pairwise

import pytest

from model_store.data.sources import load
from model_store.data.summary import ColumnFact, summarise
from model_store.tables.notes import Note, shorten

EVENTS = {
    "user_id": ["a", "a", "a", "b", "b", "c"],
    "item_id": ["x", "y", "z", "x", "y", "x"],
    "value": [5.0, 4.0, 2.0, 5.0, 3.0, 4.0],
    "seq": [0, 1, 2, 0, 1, 0],
}


def test_summary_counts_users_items_and_events(write_source):
    items = {"item_id": ["x", "y", "z", "new"], "genre": ["g", "g", "h", "h"]}
    summary = load(write_source(EVENTS, items)).summary
    assert (summary.n_users, summary.n_items, summary.n_items_with_events, summary.n_events) == (3, 4, 3, 6)
    assert (summary.n_features, summary.median_events, summary.density) == (2, 2, pytest.approx(0.5))
    assert (summary.kind, summary.order, summary.liked_at_least) == ("ratings", "sequence", 4)
    assert summary.liked_share == pytest.approx(4 / 6)
    assert [(bar.low, bar.count) for bar in summary.histogram] == [(2, 1), (3, 1), (4, 2), (5, 2)]
    assert summary.notes == ()


def test_summary_is_plain_text_despite_markup_in_the_data(write_source):
    text = load(write_source(EVENTS, {"item_id": ["x"], "[bold]s": [{"w": 1}]})).summary.render().plain
    assert "liked   66.7% of the events: ratings of at least 4\n" in text
    assert "values  2 ████████████████████ 1\n" in text
    assert "[bold]s" in text


def test_summary_in_json_has_the_same_facts(write_source):
    summary = load(write_source(EVENTS)).summary
    read_back = json.loads(json.dumps(summary.as_dict()))
    assert read_back["n_events"] == 6
    assert read_back["histogram"][0] == {"low": 2.0, "high": 2.0, "count": 1}
    assert read_back["notes"] == [{"count": 3, "reason": "items without title and features: there is no items file"}]


def test_many_levels_of_value_share_at_most_twenty_bars(write_source):
    n_events = 3000
    many = {
        "user_id": [row % 30 for row in range(n_events)],
        "item_id": list(range(n_events)),
        "value": [float(row // 3) for row in range(n_events)],
    }
    histogram = load(write_source(many)).summary.histogram
    assert len(histogram) == 20
    assert sum(bar.count for bar in histogram) == n_events
    assert (histogram[0].low, histogram[-1].high) == (0, 999)
    assert all(first.high < second.low for first, second in pairwise(histogram))


def test_columns_are_below_their_table_and_warnings_at_the_end(write_source):
    dataset = load(write_source(EVENTS)).dataset
    columns = [
        ColumnFact("items", "price", "10 bins, 1 missing"),
        ColumnFact("items", "id", "not used"),
        ColumnFact("users", "plan", "2 tags"),
    ]
    notes = [Note(1200, "events dropped: odd"), Note(2, "columns not used", warns=True)]
    summary = summarise(
        dataset, source="s", kind="ratings", order="time", notes=notes, columns=columns, warnings=["look " * 60]
    )
    lines = summary.render().plain.splitlines()
    users, items = (next(number for number, line in enumerate(lines) if line.startswith(name)) for name in ("us", "it"))
    assert lines[users + 1] == "        plan: 2 tags"
    assert lines[items + 1 : items + 3] == ["        price: 10 bins, 1 missing", "           id: not used"]
    assert "notes   1,200 events dropped: odd" in lines
    assert summary.warnings[1] == "2 columns not used"
    warnings = lines[lines.index("warning " + ("look " * 22).strip()) :]
    assert warnings[-1] == "        2 columns not used"
    assert max(map(len, lines)) <= 118
    assert summary.as_dict()["columns"][2] == {"table": "users", "name": "plan", "became": "2 tags"}


def test_names_in_the_summary_are_short_and_without_control_characters():
    assert shorten("a\nb\x1b[2Jc", 10) == "a b [2Jc"
    assert shorten("abcdef", 4) == "abc…"
