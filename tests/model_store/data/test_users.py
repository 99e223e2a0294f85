from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from model_store.bundle import Attributes
from model_store.content.features import names_in
from model_store.data.episodes import deal, hide_attributes, pack_support
from model_store.data.schema import Dataset, Events, UserAttributes
from model_store.data.sources import load
from model_store.data.users import attributes_by_column, encode_users
from model_store.errors import DataError

USERS = 24
EVENTS = {
    "user_id": [f"u{row // 2:02}" for row in range(2 * USERS)],
    "item_id": [f"i{row % 5}" for row in range(2 * USERS)],
    "value": [float(1 + row % 5) for row in range(2 * USERS)],
}
IDS = [f"u{user:02}" for user in range(USERS)]


def attributes_of(dataset: Dataset, user_id: str) -> dict[str, float]:
    attributes = dataset.attributes
    assert attributes is not None
    user = dataset.user_ids.index(user_id)
    run = slice(attributes.indptr[user], attributes.indptr[user + 1])
    pairs = zip(attributes.ids[run], attributes.weights[run], strict=True)
    return {attributes.names[index]: float(weight) for index, weight in pairs}


def test_data_without_a_users_file_has_no_attributes(write_source):
    dataset, summary = load(write_source(EVENTS))
    assert dataset.attributes is None
    assert dataset.attribute_names == []
    assert "attributes" not in summary.render().plain


def test_attributes_are_in_the_order_of_user_codes_for_any_order_of_the_file(write_source):
    users = {
        "user_id": IDS[::-1],
        "gender": ["F", "M"] * (USERS // 2),
        "age": [20] * 12 + [30] * 12,
    }
    dataset, summary = load(write_source(EVENTS, users=users))
    assert dataset.attribute_names == ["age=20..20", "age=30..30", "gender=F", "gender=M"]
    assert attributes_of(dataset, "u23") == pytest.approx({"gender=F": 0.5**0.5, "age=20..20": 0.5**0.5})
    assert attributes_of(dataset, "u22") == pytest.approx({"gender=M": 0.5**0.5, "age=20..20": 0.5**0.5})
    assert "24, median 2 events, 4 attributes of 24 users\n" in summary.render().plain


def test_a_tag_of_fewer_than_ten_users_is_not_an_attribute(write_source):
    towns = ["big"] * 10 + ["small"] * 9 + [None] * (USERS - 19)
    dataset = load(write_source(EVENTS, users={"user_id": IDS, "town": towns})).dataset
    assert dataset.attribute_names == ["town=big"]
    assert (attributes_of(dataset, "u00"), attributes_of(dataset, "u12")) == ({"town=big": 1}, {})


def test_users_who_share_nothing_have_no_attributes(write_source):
    dataset = load(write_source(EVENTS, users={"user_id": IDS, "name": IDS})).dataset
    assert dataset.attributes is None


def test_a_number_of_fewer_than_ten_users_belongs_to_the_next_lower_bin():
    ages = pl.Series("age", [18] * 10 + [40] * 9 + [60] * 11)
    assert names_in(attributes_by_column(ages.to_frame())) == ["age=18..18", "age=60..60"]
    encoded = encode_users(ages.to_frame(), Attributes(["age=18..18", "age=60..60"]))
    assert encoded.ids.tolist() == [0] * 19 + [1] * 11


def test_numbers_of_many_levels_share_ten_bins():
    names = names_in(attributes_by_column(pl.DataFrame({"income": np.arange(200)})))
    assert len(names) == 10
    assert "income=0..19" in names


def test_csv_and_parquet_of_the_same_users_are_the_same_users(write_source):
    users = {
        "user_id": IDS,
        "gender": ["F", "M"] * (USERS // 2),
        "age": [20 + 2.5 * (user % 2) for user in range(USERS)],
    }
    from_parquet = load(write_source(EVENTS, users=users)).dataset
    for path in Path(from_parquet.fingerprint.source).iterdir():
        path.unlink()
    from_csv = load(write_source(EVENTS, users=users, suffix=".csv")).dataset
    assert from_csv.fingerprint == from_parquet.fingerprint
    assert from_csv.attribute_names == from_parquet.attribute_names


def test_the_fingerprint_covers_the_attributes(write_source):
    towns = (["a", "b"] * 12, ["b", "a"] * 12, ["a", "c"] * 12)
    users = [None, *({"user_id": IDS, "town": cells} for cells in towns)]
    shas = [load(write_source(EVENTS, users=table)).dataset.fingerprint.sha256 for table in users]
    assert len(set(shas)) == 4


def test_unused_rows_and_columns_are_noted(write_source):
    users = {
        "user_id": ["stranger", None, "u00", *IDS[:-1]],
        "town": ["a"] * (USERS + 2),
        "born": [date(1990, 1, 1)] * (USERS + 2),
        "face": [[[2.0]]] * (USERS + 2),
    }
    dataset, summary = load(write_source(EVENTS, users=users))
    text = summary.render().plain
    assert "1 user dropped: user_id is missing" in text
    assert "1 user dropped: user_id occurs again in a later row" in text
    assert any("users.parquet: column 'face' is not used: its type is List" in warning for warning in summary.warnings)
    assert "born: 1 bin of years, the same in every row" in text
    assert "1 user of the events absent from" in text
    assert attributes_of(dataset, IDS[-1]) == {}
    assert "born=1990..1990" in dataset.attribute_names


def test_a_users_file_without_ids_is_refused(write_source):
    with pytest.raises(DataError, match=r"users\.parquet: no column 'user_id'"):
        load(write_source(EVENTS, users={"name": IDS}))


ATTRIBUTES = UserAttributes(
    ["a", "b", "c"], np.array([0, 2, 2, 3]), np.array([0, 2, 1]), np.array([0.6, 0.8, 1.0], dtype=np.float32)
)
THREE = Events(np.array([0, 2, 4, 6]), np.arange(6, dtype=np.int32), np.ones(6, np.float32), np.zeros(6), ATTRIBUTES)


def test_attributes_are_padded_to_the_longest_of_the_batch():
    ids, weights = ATTRIBUTES.padded(np.array([2, 0, 1]))
    assert ids.tolist() == [[1, 0], [0, 2], [0, 0]]
    np.testing.assert_allclose(weights, [[1, 0], [0.6, 0.8], [0, 0]], rtol=1e-6)
    assert ATTRIBUTES.padded(np.array([1]))[0].shape == (1, 1)


def test_selected_users_keep_their_attributes():
    chosen = THREE.select(np.array([2, 0]))
    assert chosen.attributes is not None
    assert chosen.attributes.padded(np.arange(2))[0].tolist() == [[1, 0], [0, 2]]


def test_a_support_knows_its_user():
    places = [np.array([4]), np.array([], dtype=np.int64)]
    support = pack_support(THREE, places, np.array([2, 0]))
    assert support.attribute_ids[:, :2].tolist() == [[1, 0], [0, 2]]
    assert not pack_support(THREE, places).attribute_weights.any()


def test_episodes_keep_attributes_except_for_the_hidden_share():
    users = np.tile([2, 0, 1], 200)
    episodes = deal(THREE, users, 1, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(episodes.support.attribute_ids[:, :2], ATTRIBUTES.padded(users)[0])
    hidden = hide_attributes(episodes, 0.25, np.random.default_rng(0)).support.attribute_weights
    has_attributes = users != 1
    whole = (hidden == episodes.support.attribute_weights).all(1)
    assert (whole | ~hidden.any(1)).all()  # a user is hidden as a whole
    assert whole[has_attributes].mean() == pytest.approx(0.75, abs=0.05)


def test_chronological_episodes_query_the_events_after_the_first_ones():
    users = np.tile([0, 1, 2], 50)
    episodes = deal(THREE, users, 1, 1, np.random.default_rng(0), chronological=True)
    supports = [
        rows[mask > 0].tolist() for rows, mask in zip(episodes.support.rows, episodes.support.mask, strict=True)
    ]
    rests = [episodes.rest[1, episodes.rest[0] == episode].tolist() for episode in range(len(users))]
    assert {len(support) for support in supports} == {0, 1}
    assert [[*support, *rest] for support, rest in zip(supports, rests, strict=True)] == [
        [2 * user, 2 * user + 1] for user in users.tolist()
    ]
