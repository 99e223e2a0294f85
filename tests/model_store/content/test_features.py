"""Features of catalogues, learned from columns and encoded."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest

from model_store.content.features import encode_catalogue, features_by_column, names_in


class Encoded(NamedTuple):
    names: list[str]
    indptr: np.ndarray
    indices: np.ndarray
    weights: np.ndarray


def content_features(frame: pl.DataFrame) -> Encoded:
    content = frame.drop("item_id", "title", strict=False)
    names = names_in(features_by_column(content))
    return encode_features(frame, names)


def encode_features(frame: pl.DataFrame, names: list[str]) -> Encoded:
    content = frame.drop("item_id", "title", strict=False)
    return Encoded(names, *encode_catalogue(content, names, len(frame)))


def of_item(features: Encoded, row: int) -> dict[str, float]:
    run = slice(features.indptr[row], features.indptr[row + 1])
    names = [features.names[index] for index in features.indices[run]]
    return dict(zip(names, features.weights[run].tolist(), strict=True))


def items(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(columns)


TEXTS = [
    "A lonely robot learns to love the sea and the old lighthouse",
    "The old robot travels to the stars and never comes back home",
    "A detective looks for the truth in a city that never sleeps",
    "The detective and her dog take the train to a small village",
    "A family moves to the country and finds a house full of cats",
    "The king of the hill is the one who climbs it to the top",
    "A cook opens the restaurant of her dreams in the empty harbour",
    "The teacher tells the class about a war that nobody remembers",
    "A sailor crosses the ocean in the smallest boat of the world",
    "The painter loses the colours and finds them all in a song",
]


@pytest.mark.parametrize("genres", [["a|b", "b | c", "c|b|b"], [["a", "b"], ["b", "c"], ["c", "b", "b"]]])
def test_tags_shared_by_two_items_become_features(genres):
    features = content_features(items(genre=genres))
    assert features.names == ["genre=b", "genre=c"]
    assert of_item(features, 0) == {"genre=b": 1}
    assert of_item(features, 2) == pytest.approx({"genre=b": 0.5**0.5, "genre=c": 0.5**0.5})


def test_columns_weigh_the_same_however_many_features_they_give():
    features = content_features(items(genre=["a|b|c|d"] * 2, brand=["x"] * 2))
    weights = of_item(features, 0)
    assert weights["brand=x"] ** 2 == pytest.approx(0.5)
    assert sum(weight**2 for name, weight in weights.items() if name.startswith("genre=")) == pytest.approx(0.5)


def test_prose_becomes_words_without_the_ubiquitous_and_the_unique():
    features = content_features(items(plot=TEXTS))
    assert {"plot~robot", "plot~detective", "plot~finds", "plot~never"} <= set(features.names)
    assert not {"plot~the", "plot~lighthouse"} & set(features.names)
    assert not any("=" in name for name in features.names)


def test_prose_keeps_its_2000_most_common_words():
    texts = [" ".join(f"w{word}" for word in range(start, 3000, 97)) for start in range(97)] * 2
    texts += ["common words here and there every day"] * 3
    names = content_features(items(plot=texts)).names
    assert len(names) == 2000
    assert "plot~common" in names


def test_numbers_fall_into_ten_bins_of_about_equal_size():
    features = content_features(items(price=np.arange(1000) / 4))
    assert len(features.names) == 10
    assert "price=0..24.75" in features.names
    sizes = np.bincount(features.indices)
    assert sizes.min() >= 95
    assert sizes.max() <= 105


def test_few_levels_get_a_bin_per_level_and_dates_count_by_year():
    frame = items(stars=[1, 2, 2, None], released=[date(1999, 3, 1), date(1999, 9, 1), None, date(2003, 1, 1)])
    features = content_features(frame)
    assert features.names == ["released=1999..1999", "released=2003..2003", "stars=1..1", "stars=2..2"]
    assert set(of_item(features, 3)) == {"released=2003..2003"}


@pytest.mark.parametrize("dtype", [pl.List(pl.Float32), pl.Array(pl.Float64, 3)])
def test_lists_of_floats_are_embeddings_of_unit_norm(dtype):
    image = pl.Series("image", [[3.0, 0.0, 4.0], [1.0, 1.0, 1.0]], dtype=dtype)
    features = content_features(pl.DataFrame([image]))
    assert of_item(features, 0) == pytest.approx({"image[0]": 0.6, "image[2]": 0.8})
    assert of_item(features, 1) == pytest.approx({f"image[{index}]": 3**-0.5 for index in range(3)})


def test_missing_and_not_finite_cells_give_no_features():
    frame = pl.DataFrame(
        {
            "genre": [None, "a", "a|", ""],
            "price": [float("nan"), float("inf"), 1.0, None],
            "image": [[float("nan"), 1.0], None, [], [1.0, 2.0]],
        }
    )
    features = content_features(frame)
    assert np.isfinite(features.weights).all()
    assert set(of_item(features, 0)) == {"image[1]"}
    assert set(of_item(features, 1)) == {"genre=a"}
    assert set(of_item(features, 2)) == {"genre=a", "price=1..1"}


def test_items_without_content_have_no_features():
    features = content_features(items(item_id=["1", "2"], title=["x", "x"]))
    assert features.names == []
    assert features.indptr.tolist() == [0, 0, 0]


def test_every_described_item_has_unit_norm():
    frame = items(
        genre=[f"g{row % 7}|g{row % 3}" for row in range(200)],
        year=np.arange(200) % 50,
        plot=[TEXTS[row % 10] for row in range(200)],
        image=np.random.default_rng(0).normal(size=(200, 8)).tolist(),
    )
    features = content_features(frame)
    norms = np.sqrt(np.add.reduceat(features.weights.astype(np.float64) ** 2, features.indptr[:-1]))
    assert norms == pytest.approx(np.ones(200))


def test_a_new_item_gets_the_features_that_it_would_have_had_in_the_catalogue():
    frame = items(
        genre=[f"g{row % 4}|h{row % 3}" for row in range(30)],
        price=[row * 0.1 for row in range(30)],
        plot=[TEXTS[row % 10] for row in range(30)],
        image=[[float(row), 1.0] for row in range(30)],
    )
    features = content_features(frame)
    for row in (0, 13, 29):
        alone = encode_features(frame[row : row + 1], features.names)
        assert of_item(alone, 0) == pytest.approx(of_item(features, row))


def test_numbers_outside_all_bins_fall_into_the_nearest_below_or_the_first():
    names = content_features(items(year=[1990, 1995, 2000])).names
    encoded = encode_features(items(year=[1800, 1997, 2020]), names)
    assert [of_item(encoded, row) for row in range(3)] == [
        {"year=1990..1990": 1},
        {"year=1995..1995": 1},
        {"year=2000..2000": 1},
    ]


def test_short_text_of_a_new_item_is_still_prose():
    names = content_features(items(plot=TEXTS)).names
    assert set(of_item(encode_features(items(plot=["Robot!"]), names), 0)) == {"plot~robot"}
