"""Values keep their meaning on another scale: likes stay likes, and other values do not become likes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import Scale, read_on, scale_of

STARS = scale_of("ratings", 1.0, 5.0, 4.0)
TEN = scale_of("ratings", 2.0, 10.0, 8.0)
JESTER = scale_of("ratings", -10.0, 10.0, 6.0)
COUNTS = scale_of("counts", 1.0, 12.0, 1.0)
CLICKS = scale_of("clicks", 1.0, 1.0, 1.0)

ratings = st.sampled_from([STARS, TEN, JESTER, scale_of("ratings", 0.5, 5.0, 4.0), scale_of("ratings", 0.0, 1.0, 1.0)])


def read(scale: Scale, value: float, origin: Scale) -> float:
    return float(read_on(scale, np.array([value]), origin)[0])


@pytest.mark.parametrize(
    ("value", "expected"), [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (4.0, 8.0), (5.0, 10.0), (3.5, 7.0)]
)
def test_stars_of_five_become_those_of_ten(value: float, expected: float) -> None:
    assert read(TEN, value, STARS) == pytest.approx(expected)


@given(ratings, ratings, st.floats(0, 1))
def test_a_rating_is_liked_on_every_scale_or_on_none(origin: Scale, scale: Scale, share: float) -> None:
    value = origin.low + share * (origin.high - origin.low)
    converted = read(scale, value, origin)
    assert scale.low <= converted <= scale.high
    if abs(value - origin.liked) > 1e-6 and origin.liked < origin.high and scale.liked < scale.high:
        assert (converted >= scale.liked) == (value >= origin.liked)


@given(ratings, ratings, st.lists(st.floats(0, 1), min_size=2, max_size=2))
def test_a_better_rating_stays_at_least_as_good(origin: Scale, scale: Scale, shares: list[float]) -> None:
    values = np.array(sorted(shares)) * (origin.high - origin.low) + origin.low
    lower, higher = read_on(scale, values, origin)
    assert lower <= higher + 1e-9


@given(ratings, st.floats(0, 1))
def test_values_of_the_scale_itself_stay_to_the_last_bit(scale: Scale, share: float) -> None:
    value = scale.low + share * (scale.high - scale.low)
    assert read(scale, value, scale) == value


def test_counts_keep_their_value_up_to_the_highest_of_the_model() -> None:
    assert [read(COUNTS, value, scale_of("counts", 1.0, 400.0, 1.0)) for value in (3.0, 12.0, 399.0)] == [3, 12, 12]
    assert read(COUNTS, 99.0, COUNTS) == 12


@pytest.mark.parametrize("scale", [COUNTS, CLICKS])
def test_a_dislike_does_not_become_a_like_among_counts(scale: Scale) -> None:
    assert read(scale, 5.0, STARS) == scale.liked
    assert np.isnan(read(scale, 1.0, STARS))


@pytest.mark.parametrize("origin", [COUNTS, CLICKS])
def test_a_count_becomes_a_liked_rating(origin: Scale) -> None:
    assert read(STARS, 1.0, origin) == STARS.liked
    assert np.isnan(read(STARS, 0.0, origin))
