import numpy as np
import polars as pl
import pytest

from model_store.data.sources import Loaded, prepare
from model_store.data.tables import Table, Tables


def loaded(values: list[float], event: list[str] | None = None) -> Loaded:
    """One item a value, of three users in turn."""
    places = range(len(values))
    frame = {"user_id": [place % 3 for place in places], "item_id": list(places), "value": values}
    return prepare("test", Tables(Table("test", pl.DataFrame(frame | ({"event": event} if event else {}))), None))


def repeated(counts: dict[float, int]) -> list[float]:
    return np.repeat(list(counts), list(counts.values())).tolist()


@pytest.mark.parametrize(
    ("counts", "liked"),
    [
        ({1: 6, 2: 11, 3: 26, 4: 35, 5: 23}, 4.0),
        ({0.5: 1, 1: 3, 1.5: 2, 2: 7, 2.5: 4, 3: 20, 3.5: 10, 4: 28, 4.5: 8, 5: 15}, 4.0),
        ({1: 2, 3: 3, 5: 4, 8: 9, 9: 5, 10: 3}, 8.0),
        ({1: 20, 2: 5, 3: 6, 4: 15, 5: 50}, 4.0),  # reviews: the best and the worst
        ({1: 3, 2: 2, 3: 9}, 3.0),
    ],
)
def test_a_rating_scale_is_recognised_and_liked_from_four_fifths_on(counts, liked):
    result = loaded(repeated(counts))
    assert result.summary.kind == "ratings"
    assert result.dataset.feedback.liked_at_least == liked
    assert result.dataset.feedback.types == {
        "like": max(counts),
        "purchase": max(counts),
        "click": liked,
        "dislike": min(counts),
    }


@pytest.mark.parametrize(
    "values",
    [
        [1.0] * 9,
        repeated({1: 50, 2: 20, 3: 8, 4: 3, 7: 1}),
        repeated({1: 50, 2: 20, 3: 8, 40: 1}),
        [float(value) for value in range(1, 40)],
        [0.0, 1.0, 1.0, 0.0],
    ],
)
def test_counts_are_not_taken_for_ratings(values):
    result = loaded(values)
    assert result.summary.kind == "counts"
    assert result.dataset.feedback.liked_at_least == 1
    assert result.dataset.feedback.value_max == max(values)


def test_weights_of_event_types_are_counts_and_name_the_vocabulary():
    values = [1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0, 3.0]
    result = loaded(values, ["glance"] * 3 + ["buy"] * 4 + ["basket"])
    assert result.summary.kind == "counts"
    assert result.dataset.feedback.types == {
        "view": 4.0,
        "click": 4.0,
        "like": 4.0,
        "purchase": 4.0,
        "glance": 1.0,
        "buy": 5.0,
        "basket": 3.0,
    }


def test_what_is_not_above_zero_is_not_liked():
    feedback = loaded([-1.0, 1.0, 0.0, 2.0, 1.0, -1.0]).dataset.feedback
    assert (feedback.value_min, feedback.liked_at_least, feedback.value_max) == (-1, 1, 2)


def test_only_the_most_common_names_of_events_enter_the_vocabulary():
    names = ["often", "often", "bad\nname", "x" * 65, *(f"rare-{place:02}" for place in range(30))]
    types = loaded([1.0] * len(names), names).dataset.feedback.types
    assert len(types) == 4 + 20
    assert "often" in types
    assert not {"bad\nname", "x" * 65} & set(types)
