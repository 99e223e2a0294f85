import numpy as np
import polars as pl

from model_store.data.sample import render_sample, sample_users
from model_store.data.sources import load

LENGTHS = [2, 40, 3, 11, 7, 5, 4, 9, 8, 6]
USERS = [f"u{user}" for user, length in enumerate(LENGTHS) for _ in range(length)]
EVENTS = {
    "user_id": USERS,
    "item_id": [f"i{index}" for length in LENGTHS for index in range(length)],
    "value": [1.0 + row % 5 for row in range(len(USERS))],
    "timestamp": [1_600_000_000 - 60 * row for row in range(len(USERS))],
}
ITEMS = {"item_id": [f"i{index}" for index in range(40)], "title": [f"[b]Film\x1b {index}" for index in range(40)]}


def test_the_sample_has_five_users_from_few_events_to_many_with_their_first_events(write_source):
    dataset = load(write_source(EVENTS, ITEMS, users={"user_id": sorted(set(USERS)), "plan": ["Pro"] * 10})).dataset
    sample = sample_users(dataset)
    assert [user.n_events for user in sample] == [3, 5, 7, 9, 40]
    assert [len(user.events) for user in sample] == [3, 5, 5, 5, 5]
    longest = sample[-1]
    assert (longest.user_id, longest.attributes) == ("u1", ("plan=Pro",))
    start = USERS.index("u1")
    last_first = [EVENTS["item_id"][row] for row in range(start + 39, start + 34, -1)]
    assert [event.item_id for event in longest.events] == last_first
    first = longest.events[0]
    assert (first.title, first.value, first.time) == ("[b]Film  39", EVENTS["value"][start + 39], "2020-09-13 11:45:40")
    text = render_sample(sample, "time").plain
    assert "sample  5 users and their first events, order: time" in text
    assert "  user 'u1': 40 events; plan=Pro\n    2020-09-13 11:45:40  " in text
    assert "\x1b" not in text


def test_the_sample_of_data_without_times_and_titles_has_neither(write_source):
    events = {name: cells for name, cells in EVENTS.items() if name != "timestamp"}
    sample = sample_users(load(write_source(events)).dataset)
    assert all(event.time is None and event.title == "" for user in sample for event in user.events)
    assert all(line == line.rstrip() for line in render_sample(sample, "random").plain.splitlines())


def test_the_sample_has_all_of_few_users_and_values_as_in_the_file(write_source):
    events = {"user_id": ["a", "b"], "item_id": ["x", "y"], "value": [0.1, 3.7]}
    sample = sample_users(load(write_source(events)).dataset)
    assert [user.user_id for user in sample] == ["a", "b"]
    assert [user.events[0].value for user in sample] == [0.1, 3.7]


def test_times_outside_of_the_calendar_are_seconds(write_source):
    dataset = load(write_source(EVENTS)).dataset
    dataset.events.times[:] = np.linspace(-1e15, 9e14, len(dataset.events.times))
    assert sample_users(dataset)[0].events[0].time.endswith(" s")
    assert isinstance(pl.DataFrame([user.as_dict() for user in sample_users(dataset)]), pl.DataFrame)
