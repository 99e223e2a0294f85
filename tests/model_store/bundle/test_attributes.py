"""Attributes of users: the same values become the same numbers in training and in the service."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import onnx
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from resealed import reseal

from model_store.bundle import (
    NO_ATTRIBUTES,
    Attributes,
    Encoded,
    Graphs,
    Registry,
    Support,
    UserSupport,
    Value,
    open_bundle,
)
from model_store.content.bins import Bins
from model_store.data.users import user_attributes
from model_store.errors import BundleDamaged
from model_store.tables.table import Table

ATTRIBUTES = Attributes(["age=18..24", "age=25..34", "floor=3", "gender=F", "likes=jazz", "likes=rock", "member=true"])


def named(encoded: Encoded) -> dict[str, float]:
    return {ATTRIBUTES.names[index]: float(weight) for index, weight in zip(*encoded, strict=True) if weight}


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"gender": "F"}, {"gender=F"}),
        ({"gender": " F "}, {"gender=F"}),
        ({"member": True}, {"member=true"}),
        ({"member": "true"}, {"member=true"}),
        ({"age": 20}, {"age=18..24"}),
        ({"age": 24.5}, {"age=18..24"}),
        ({"age": 25}, {"age=25..34"}),
        ({"age": 3}, {"age=18..24"}),
        ({"age": 99}, {"age=25..34"}),
        ({"age": "18..24"}, {"age=18..24"}),
        ({"floor": 3}, {"floor=3"}),
        ({"floor": 3.0}, {"floor=3"}),
        ({"likes": ["rock", "jazz", "rock"]}, {"likes=rock", "likes=jazz"}),
        ({"likes": "rock|jazz"}, {"likes=rock", "likes=jazz"}),
        ({"likes": "rock, jazz"}, {"likes=rock", "likes=jazz"}),
        ({"likes": "rock;jazz"}, {"likes=rock", "likes=jazz"}),
        ({"likes": "['rock', 'jazz']"}, {"likes=rock", "likes=jazz"}),
        ({"likes": '["rock", "jazz"]'}, {"likes=rock", "likes=jazz"}),
        ({"likes": "{rock,jazz}"}, {"likes=rock", "likes=jazz"}),
        ({"age": "20"}, {"age=18..24"}),
        ({"age": "20.0"}, {"age=18..24"}),
        ({"floor": "3.0"}, {"floor=3"}),
        ({"member": "True"}, {"member=true"}),
        ({"member": "YES"}, {"member=true"}),
        ({"member": 1}, {"member=true"}),
        ({"member": "1"}, {"member=true"}),
    ],
)
def test_a_value_becomes_its_names(value: dict[str, Value], names: set[str]) -> None:
    assert set(named(ATTRIBUTES.encode(value))) == names
    assert ATTRIBUTES.unknown(value) == []


def test_booleans_are_numbers_where_the_data_had_0_and_1() -> None:
    bits = Attributes(["member=0..0", "member=1..1", "age=0..1", "age=2..9"])
    for truth in (True, "true", "Yes", 1, "1", "1.0"):
        assert bits.encode({"member": truth}).ids.tolist() == [1]
    assert bits.encode({"member": False}).ids.tolist() == [0]
    assert bits.unknown({"age": True}) == [("age", "true")]


def test_a_bundle_with_booleans_in_the_spelling_of_csv_encodes_those_of_json() -> None:
    older = Attributes(["member=False", "member=True"])
    assert older.encode({"member": True}).ids.tolist() == older.encode({"member": "True"}).ids.tolist() == [1]
    assert older.encode({"member": False}).ids.tolist() == [0]


def test_leading_zeros_count() -> None:
    attributes = Attributes(["zip=02139", "zip=2140", "size=1..5"])
    assert attributes.encode({"zip": "02139"}).ids.tolist() == [0]
    assert attributes.unknown({"zip": 2139}) == [("zip", "2139")]
    assert attributes.unknown({"zip": "02140"}) == [("zip", "02140")]
    assert attributes.unknown({"size": "007"}) == [("size", "007")]


def test_a_comma_that_tags_contain_does_not_separate() -> None:
    cities = Attributes(["city=Boston", "city=Boston, MA", "city=Salem, MA"])
    assert cities.encode({"city": "Boston, MA"}).ids.tolist() == [1]
    assert cities.unknown({"city": "Boston, TX"}) == [("city", "Boston, TX")]
    assert cities.encode({"city": "Boston"}).ids.tolist() == [0]


def test_unknown_parts_of_a_list_in_text_are_named() -> None:
    assert ATTRIBUTES.unknown({"likes": "jazz, polka"}) == [("likes", "polka")]
    assert ATTRIBUTES.unknown({"likes": "polka, salsa"}) == [("likes", "polka, salsa")]
    assert ATTRIBUTES.unknown({"likes": "['jazz', None]"}) == []


def test_dates_are_years_where_the_data_had_numbers_or_dates() -> None:
    attributes = Attributes(["born=1980..1989", "born=1990..1999"])
    assert attributes.encode({"born": "1989-12-31"}).ids.tolist() == [0]
    assert attributes.encode({"born": "1990-01-01T00:00:00Z"}).ids.tolist() == [1]
    assert Attributes(["born=1..1"]).encode({"born": "0001-01-01"}).ids.tolist() == [0]


def test_columns_weigh_the_same_however_many_tags_they_hold() -> None:
    weights = named(ATTRIBUTES.encode({"gender": "F", "likes": ["rock", "jazz"]}))
    assert weights == pytest.approx({"gender=F": 0.5**0.5, "likes=jazz": 0.5, "likes=rock": 0.5})


@pytest.mark.parametrize("values", [{}, {"gender": ""}, {"likes": []}, {"shoe": 43}, {"member": False}])
def test_values_without_attributes_are_one_position_without_weight(values: dict[str, Value]) -> None:
    assert ATTRIBUTES.encode(values) is NO_ATTRIBUTES
    assert (NO_ATTRIBUTES.ids.tolist(), NO_ATTRIBUTES.weights.tolist()) == ([0], [0])


def test_ignored_parts_are_named() -> None:
    values: dict[str, Value] = {
        "gender": "X",
        "likes": ["jazz", "polka"],
        "shoe": 43,
        "member": False,
        "age": float("nan"),
    }
    assert ATTRIBUTES.unknown(values) == [
        ("gender", "X"), ("likes", "polka"), ("shoe", "43"), ("member", "false"), ("age", "nan")
    ]  # fmt: skip
    assert set(named(ATTRIBUTES.encode(values))) == {"likes=jazz"}


def test_the_order_of_columns_changes_no_bit() -> None:
    values: dict[str, Value] = {"age": 20, "likes": ["rock", "jazz"], "gender": "F"}
    in_reverse = ATTRIBUTES.encode(dict(reversed(values.items())))
    for one, other in zip(ATTRIBUTES.encode(values), in_reverse, strict=True):
        assert one.tobytes() == other.tobytes()


@given(st.lists(st.integers(-50, 50), min_size=1, unique=True).map(sorted), st.floats(-60, 60))
def test_a_number_gets_the_bin_that_it_had_in_the_data(lows: list[int], number: float) -> None:
    attributes = Attributes([f"n={low}..{low}" for low in lows])
    edges = np.array(lows, dtype=np.float64)
    assert attributes.encode({"n": number}).ids == Bins(edges, edges).assign(np.array([number]))


def test_a_tag_that_resembles_a_bin_is_a_tag() -> None:
    attributes = Attributes(["code=1.2.3..4", "code=e..e", "a=b=1..2"])
    assert attributes.encode({"code": "e..e"}).ids.tolist() == [1]
    assert attributes.encode({"a=b": 1}).ids.tolist() == [2]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
columns = st.fixed_dictionaries(
    {
        "text": st.none() | st.sampled_from(["F", "M", "F|M", " F", "1..2"]) | words,
        "flag": st.none() | st.booleans(),
        "whole": st.none() | st.integers(0, 2),
        "real": st.none() | st.floats(width=32),
        "tags": st.none() | st.lists(st.sampled_from("abc") | words, max_size=4),
    }
)
SCHEMA = {"text": pl.String, "flag": pl.Boolean, "whole": pl.Int32, "real": pl.Float32, "tags": pl.List(pl.String)}


@settings(deadline=None, max_examples=30)
@given(st.lists(columns, min_size=12, max_size=30))
def test_equal_values_are_encoded_alike_in_training_and_in_the_service(rows: list[dict[str, Value]]) -> None:
    user_ids = [f"{number:03}" for number in range(len(rows))]
    frame = pl.DataFrame(rows, schema=SCHEMA).with_columns(user_id=pl.Series(user_ids))
    learned = user_attributes(Table("users", frame), pl.Series(user_ids)).attributes
    if learned is None:
        return
    served = Attributes(orjson.loads(orjson.dumps(learned.names)))
    ids, weights = learned.padded(np.arange(len(rows)))
    for user, cells in enumerate(frame.drop("user_id").iter_rows(named=True)):
        values = orjson.loads(orjson.dumps({name: value for name, value in cells.items() if value is not None}))
        posted = {name: value for name, value in values.items() if value is not None}  # JSON has no NaN
        encoded = served.encode(posted)
        size = int((weights[user] > 0).sum())
        np.testing.assert_array_equal(encoded.ids[encoded.weights > 0], ids[user, :size])
        np.testing.assert_array_equal(encoded.weights[encoded.weights > 0], weights[user, :size])
        assert np.linalg.norm(encoded.weights) == pytest.approx(float(size > 0))


@pytest.fixture
def folder(trained_store: Path, tmp_path: Path) -> Path:
    return Registry(Path(shutil.copytree(trained_store, tmp_path / "store"))).live_folder()


def test_data_without_users_makes_a_bundle_without_attributes(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert len(bundle.attributes) == bundle.manifest.shapes.attributes == 0


def test_a_bundle_from_before_attributes_opens(folder: Path) -> None:
    (folder / "attributes.json").unlink()
    reseal(folder, "attributes.json")
    assert len(open_bundle(folder).attributes) == 0


@pytest.mark.parametrize(
    ("content", "message"), [(b"{", "cannot be read"), (b"{}", "array"), (b"[1]", "array"), (b'["a=b"]', "manifest")]
)
def test_invalid_attributes_are_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "attributes.json").write_bytes(content)
    reseal(folder, "attributes.json")
    with pytest.raises(BundleDamaged, match=message):
        open_bundle(folder)


def test_a_graph_without_inputs_for_attributes_or_batches_adapts(folder: Path) -> None:
    """Its user state is the last event's vector; older bundles have graphs of this form."""
    inputs = {"vectors": ["S", 3], "values": ["S"], "ages": ["S"], "mask": ["S"]}
    last = helper.make_node("Gather", ["vectors", "last"], ["user_state"], axis=0)
    graph = helper.make_graph(
        [last],
        "adapt",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("user_state", TensorProto.FLOAT, [3])],
        [helper.make_tensor("last", TensorProto.INT64, [], [-1])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "adapt.onnx"
    )
    vectors, ones = np.arange(12, dtype=np.float32).reshape(2, 2, 3), np.ones((2, 2), dtype=np.float32)
    user = UserSupport(np.arange(2), ones[0], ones[0], ATTRIBUTES.encode({"gender": "F"}))
    support = dataclasses.replace(Support.of([user, user]), values=ones, ages=ones, mask=ones)
    assert Graphs(folder).adapt(vectors, support).tolist() == [[3, 4, 5], [9, 10, 11]]
