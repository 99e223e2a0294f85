"""One encoding of a support: a training batch and a service batch of the same users are the same bits."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import NO_SUPPORT, Attributes, Support, UserSupport, scale_of
from model_store.bundle.support import EVENT_BLOCK
from model_store.data.cleaning import arrange
from model_store.data.episodes import pack_support
from model_store.data.users import encode_users
from service.core.history import append
from service.core.support import support_of
from service.core.values import EMPTY, Event, Events

STARS = scale_of("ratings", 1.0, 5.0, 4.0)
ITEMS = [f"i{row}" for row in range(50)]
TAGS = "abcdefghijklm"
ATTRIBUTES = Attributes(["gender=F", "gender=M", "age=18..24", "age=25..34", *(f"likes={tag}" for tag in TAGS)])

# (item, value, second) in the order of arrival, so that most events arrive late. Items and times are distinct.
Log = list[tuple[int, int, int]]
logs = st.lists(
    st.tuples(st.integers(0, len(ITEMS) - 1), st.integers(1, 5), st.integers(0, 10**9)),
    max_size=40,
    unique_by=(lambda event: event[0], lambda event: event[2]),
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "gender": st.sampled_from("FM"),
        "age": st.integers(15, 40),
        "likes": st.lists(st.sampled_from(TAGS + "xyz"), max_size=16),
    },
)
users = st.lists(st.tuples(logs, attributes), min_size=1, max_size=6)


def trained(logs: list[Log], described: list[dict], limit: int) -> Support:
    """The batch as training packs it from a table of events, which names users without events too."""
    rows = [(user, *event) for user, log in enumerate(logs) for event in log]
    schema = {"user": pl.Int64, "item": pl.Int64, "value": pl.Int64, "time": pl.Int64}
    frame = pl.DataFrame(rows, schema, orient="row").with_columns(seq=pl.lit(None, pl.Float64))
    events = arrange(frame, "time", [f"u{user}" for user in range(len(logs))], ITEMS)
    table = pl.DataFrame(described, {"gender": pl.String, "age": pl.Int64, "likes": pl.List(pl.String)})
    events = dataclasses.replace(events, attributes=encode_users(table, ATTRIBUTES))
    positions = [np.arange(*events.indptr[user : user + 2]) for user in range(len(logs))]
    return pack_support(events, positions, np.arange(len(logs)), limit)


def served(log: Log, described: dict, limit: int) -> UserSupport:
    """A user's support as the service encodes it from a record to which the events were added one by one."""
    record = EMPTY
    for digest, (row, value, second) in enumerate(log):
        event = Event(ITEMS[row], float(value), float(second), digest, STARS)
        record = append(record, Events.of([event]), limit).record
    rows = np.array([ITEMS.index(item_id) for item_id in record.events.item_ids], dtype=np.int64)
    return support_of(record.events, rows, STARS, limit)._replace(attributes=ATTRIBUTES.encode(described))


def bits(support: Support) -> dict[str, tuple]:
    arrays = {field.name: getattr(support, field.name) for field in dataclasses.fields(support)}
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}


@given(users, st.integers(1, 40))
def test_a_training_batch_and_a_service_batch_are_the_same_bits(batch: list[tuple[Log, dict]], limit: int) -> None:
    logs, described = zip(*batch, strict=True)
    in_service = Support.of([served(log, user, limit) for log, user in batch])
    assert bits(trained(list(logs), list(described), limit)) == bits(in_service)


@given(users, st.integers(1, 40))
def test_the_users_of_a_batch_make_the_batch_again(batch: list[tuple[Log, dict]], limit: int) -> None:
    support = Support.of([served(log, user, limit) for log, user in batch])
    assert bits(Support.of(list(support.users()))) == bits(support)
    chosen = np.arange(len(batch))[::2]
    assert [user.rows.tolist() for user in support.select(chosen).users()] == [
        user.rows.tolist() for user in list(support.users())[::2]
    ]


def test_the_most_recent_events_stay_and_padding_is_behind_them() -> None:
    times = np.array([5.0, 1.0, 3.0]) * 86_400
    user = UserSupport.encode(np.array([7, 8, 9]), np.array([1, 2, 3], np.float32), times, limit=2)
    assert (user.rows.tolist(), user.values.tolist(), user.ages.tolist()) == ([9, 7], [3, 1], [2, 0])
    support = Support.of([user, NO_SUPPORT])
    assert support.rows[:, :3].tolist() == [[9, 7, 0], [0, 0, 0]]
    assert support.mask[:, :3].tolist() == [[1, 1, 0], [0, 0, 0]]
    assert support.lengths.tolist() == [2, 0]


def test_events_of_one_time_keep_their_order() -> None:
    times = np.array([2.0, 1.0, 2.0, 1.0])
    assert UserSupport.encode(np.arange(4), np.ones(4, np.float32), times).rows.tolist() == [1, 3, 0, 2]


def test_widths_are_whole_blocks() -> None:
    def width(*lengths: int) -> int:
        return Support.of(
            [UserSupport.encode(np.arange(n), np.ones(n, np.float32), np.zeros(n)) for n in lengths]
        ).rows.shape[1]

    assert [width(n) for n in (0, 1, EVENT_BLOCK, EVENT_BLOCK + 1)] == [16, 16, 16, 32]
    assert width(3, 40) == 48
    assert width() == EVENT_BLOCK
