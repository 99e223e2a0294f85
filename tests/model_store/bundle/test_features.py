"""Item features are encoded alike in training and in a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.bundle import Registry, open_bundle
from model_store.bundle.attributes import Encoded
from model_store.bundle.features import NO_FEATURES, Features
from model_store.content.features import encode_catalogue, features_by_column, names_in
from model_store.data.sources import load
from model_store.errors import BundleDamaged

NAMES = [
    "genre=Comedy",
    "genre=Drama",
    "image[0]",
    "image[2]",
    "plot~robot",
    "plot~sea",
    "year=1990..1994",
    "year=1995..1999",
]
WORDS = ["sea", "robot", "old", "war", "city", "dog"]


def weights_of(encoded: Encoded, features: Features) -> dict[str, float]:
    return {features.names[index]: weight for index, weight in zip(*map(np.ndarray.tolist, encoded), strict=True)}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"genre": "Comedy"}, {"genre=Comedy": 1.0}),
        ({"genre": "Comedy | Drama | Western"}, {"genre=Comedy": 0.5**0.5, "genre=Drama": 0.5**0.5}),
        ({"genre": ["Drama", "Drama"]}, {"genre=Drama": 1.0}),
        ({"genre": "['Comedy', 'Drama']"}, {"genre=Comedy": 0.5**0.5, "genre=Drama": 0.5**0.5}),
        ({"plot": "A ROBOT, the robot."}, {"plot~robot": 1.0}),
        ({"plot": ["robot"]}, {}),
        ({"year": 1992}, {"year=1990..1994": 1.0}),
        ({"year": "1997"}, {"year=1995..1999": 1.0}),
        ({"year": 2050}, {"year=1995..1999": 1.0}),
        ({"year": float("nan")}, {}),
        ({"image": [3.0, 7.0, 4.0, 1.0]}, {"image[0]": 0.6, "image[2]": 0.8}),
        ({"image": "[3.0, 7.0, -4.0]"}, {"image[0]": 0.6, "image[2]": -0.8}),
        ({"image": [float("inf"), 1.0, 2.0]}, {"image[2]": 1.0}),
        ({"image": [3e200, 0.0, 4e200]}, {"image[0]": 0.6, "image[2]": 0.8}),
        ({"image": [3e-200, 0.0, -4e-200]}, {"image[0]": 0.6, "image[2]": -0.8}),
        ({"image": "none"}, {}),
        ({"colour": "red"}, {}),
        ({}, {}),
        ({"year": 1992, "genre": "Drama"}, {"genre=Drama": 0.5**0.5, "year=1990..1994": 0.5**0.5}),
    ],
)
def test_a_value_becomes_the_features_that_the_bundle_knows(item: dict[str, Any], expected: dict[str, float]) -> None:
    features = Features(NAMES)
    encoded = features.encode(item)
    if not expected:
        assert encoded is NO_FEATURES
    else:
        assert weights_of(encoded, features) == pytest.approx(expected)


cells = st.fixed_dictionaries(
    {
        "genre": st.none() | st.lists(st.sampled_from("abcd"), max_size=3).map("|".join),
        "cast": st.none() | st.lists(st.sampled_from(["Ann", "Bob", "Cy"]), max_size=3),
        "plot": st.none() | st.lists(st.sampled_from(WORDS), min_size=8, max_size=12).map(" ".join),
        "price": st.none() | st.floats(-1e6, 1e6, width=32),
        "sequel": st.none() | st.booleans(),
        "image": st.none() | st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3),
    }
)
SCHEMA = {
    "genre": pl.String,
    "cast": pl.List(pl.String),
    "plot": pl.String,
    "price": pl.Float64,
    "sequel": pl.Boolean,
    "image": pl.List(pl.Float64),
}


@settings(deadline=None, max_examples=50)
@given(st.lists(cells, min_size=1, max_size=20))
def test_a_posted_item_is_encoded_bit_for_bit_like_its_row_in_training(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    names = names_in(features_by_column(frame))
    catalogue, features = encode_catalogue(frame, names, len(frame)), Features(names)
    for row, item in enumerate(rows):
        posted = features.encode({column: value for column, value in item.items() if value is not None})
        run = slice(*catalogue.indptr[row : row + 2])
        expected = Encoded(catalogue.ids[run], catalogue.weights[run]) if run.stop > run.start else NO_FEATURES
        assert posted.ids.tobytes() == expected.ids.tobytes()
        assert posted.weights.tobytes() == expected.weights.tobytes()


values = st.text() | st.booleans() | st.floats() | st.integers() | st.lists(st.text() | st.floats())


@given(st.dictionaries(st.sampled_from(["genre", "image", "plot", "year", "colour", ""]), values))
def test_no_value_makes_encoding_fail(item: dict[str, Any]) -> None:
    encoded = Features(NAMES).encode(item)
    assert np.isfinite(encoded.weights).all()
    assert len(encoded.ids) >= 1


def test_the_order_of_columns_changes_no_bit() -> None:
    item = {"year": 1992, "genre": "Drama", "image": [1.0, 0.0, 0.1], "plot": "sea robot"}
    one, other = (Features(NAMES).encode(dict(pairs)) for pairs in (item.items(), reversed(item.items())))
    assert one.weights.tobytes() == other.weights.tobytes()


def test_the_exported_encoder_gives_a_posted_item_the_vector_that_training_gives_its_content(
    trained_store: Path, source: Path
) -> None:
    """The vector of an item out of its raw columns, through ``encode_item.onnx``."""
    bundle, dataset = open_bundle(Registry(trained_store).live_folder()), load(str(source)).dataset
    items = pl.read_parquet(source / "items.parquet")
    features = bundle.catalogue.features
    assert features.names == dataset.features.names
    for item in items.head(5).iter_rows(named=True):
        columns = {
            name: value for name, value in item.items() if name not in {"item_id", "title"} and value is not None
        }
        encoded = features.encode(columns)
        row = dataset.item_ids.index(str(item["item_id"]))
        run = slice(*dataset.features.indptr[row : row + 2])
        assert encoded.ids.tolist() == dataset.features.indices[run].tolist()
        assert encoded.weights.tobytes() == dataset.features.weights[run].tobytes()
        vector = torch.from_numpy(bundle.graphs.encode_item(encoded.ids, encoded.weights))
        assert torch.isfinite(vector).all()
        assert vector.shape == (bundle.manifest.shapes.state_dim,)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a=b": 1}', b'{"a=b": "0"}', b'{"a=b": 0, "c=d": 0}'])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "features.json").write_bytes(content)
    with pytest.raises(BundleDamaged, match=r"features\.json"):
        Features.read(tmp_path / "features.json")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    Features(NAMES).write(tmp_path / "features.json")
    assert Features.read(tmp_path / "features.json").names == NAMES
