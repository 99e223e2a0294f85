from collections.abc import Iterable

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike, NDArray

from model_store.config import ReadOptions
from model_store.data.sources import Loaded, prepare
from model_store.errors import DataError
from model_store.tables.table import Table, Tables

Stars = dict[float, float]

MOVIES = {0.5: 1.1, 1: 3.3, 1.5: 1.7, 2: 7.3, 2.5: 4.4, 3: 20, 3.5: 10.5, 4: 28.7, 4.5: 7.7, 5: 15.3}
STARS = {1: 5, 2: 10, 3: 28, 4: 34, 5: 23}
TEN = {1: 2, 2: 3, 3: 5, 4: 5, 5: 10, 6: 10, 7: 20, 8: 25, 9: 15, 10: 5}
COMPLAINTS = {1: 208, 2: 92, 3: 69, 4: 80, 5: 91}
BOOKS = {0: 62, 1: 0.15, 2: 0.25, 3: 0.5, 4: 0.75, 5: 4.5, 6: 3, 7: 6.5, 8: 9, 9: 6, 10: 7}
SIZES = (500, 20_000)


def loaded(values: Iterable[float], event: list[str] | None = None, repeat: int = 1, **options: object) -> Loaded:
    """One item per value, by three users in turn; every event occurs ``repeat`` times."""
    numbers = np.repeat(np.array(list(values), dtype=np.float64), repeat)
    index = np.arange(len(numbers)) // repeat
    frame = {"user_id": index % 3, "item_id": index, "value": numbers}
    table = Table("test", pl.DataFrame(frame | ({"event": event} if event else {})))
    return prepare("test", Tables(table, None), ReadOptions(**options))


def drawn(shares: Stars, events: int) -> NDArray[np.float64]:
    """Values drawn with probabilities proportional to ``shares``."""
    weights = np.array(list(shares.values()), dtype=np.float64)
    return np.random.default_rng(events).choice(
        np.array(list(shares), dtype=np.float64), events, p=weights / weights.sum()
    )


def decimals(low: float, high: float, mean: float, spread: float, events: int) -> NDArray[np.float64]:
    """Bell-shaped ratings with two decimals on a bounded scale."""
    return np.clip(np.random.default_rng(events).normal(mean, spread, events), low, high).round(2)


def repeated(counts: dict[float, int]) -> list[float]:
    return np.repeat(list(counts), list(counts.values())).tolist()


@pytest.mark.parametrize(
    ("counts", "liked"),
    [
        ({1: 6, 2: 11, 3: 26, 4: 35, 5: 23}, 4.0),
        ({0.5: 1, 1: 3, 1.5: 2, 2: 7, 2.5: 4, 3: 20, 3.5: 10, 4: 28, 4.5: 8, 5: 15}, 4.0),
        ({1: 2, 3: 3, 5: 4, 8: 9, 9: 5, 10: 3}, 8.0),
        ({1: 20, 2: 5, 3: 6, 4: 15, 5: 50}, 4.0),  # reviews: mostly the best and the worst
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


@pytest.mark.parametrize("events", SIZES)
@pytest.mark.parametrize(
    ("shares", "low", "high", "liked"),
    [
        (MOVIES, 0.5, 5, 4),
        (STARS, 1, 5, 4),
        ({1: 15, 2: 8, 3: 10, 4: 22, 5: 45}, 1, 5, 4),  # the best and the worst
        (COMPLAINTS, 1, 5, 4),
        ({1: 60, 2: 8, 3: 6, 4: 6, 5: 20}, 1, 5, 4),
        ({1: 85, 2: 4, 3: 2, 4: 2, 5: 7}, 1, 5, 4),
        ({1: 50, 2: 20, 3: 12, 4: 10, 5: 8}, 1, 5, 4),
        (TEN, 1, 10, 8),
        ({0: 4, 1: 3, 2: 4, 3: 5, 4: 7, 5: 10, 6: 12, 7: 16, 8: 18, 9: 12, 10: 9}, 0, 10, 8),
        ({0: 12, 1: 3, 2: 2, 3: 3, 4: 3, 5: 10, 6: 7, 7: 12, 8: 18, 9: 12, 10: 18}, 0, 10, 8),
        ({2: 5, 4: 10, 6: 28, 8: 34, 10: 23}, 2, 10, 8),
        ({1: 5, 2: 8, 3: 12, 4: 20, 5: 25, 6: 20, 7: 10}, 1, 7, 6),
        ({0: 38, 1: 62}, 0, 1, 1),
        ({-1: 20, 1: 80}, -1, 1, 1),
        ({-1: 20, 0: 30, 1: 50}, -1, 1, 1),
        ({-2: 10, -1: 20, 0: 20, 1: 30, 2: 20}, -2, 2, 2),
        ({1: 30, 2: 70}, 1, 2, 2),
        ({1: 50, 5: 50}, 1, 5, 5),
        ({0: 1, 0.25: 1, 0.5: 1, 0.75: 1, 1: 2}, 0, 1, 1),
        ({0: 70, 0.25: 15, 0.5: 9, 0.75: 4, 1: 2}, 0, 1, 1),
        ({1: 20, 2: 20, 3: 10, 8: 20, 9: 30}, 1, 9, 8),  # 9 is a rating, not "no answer"
        ({1: 20, 2: 20, 3: 10, 9: 30}, 1, 9, 9),
        ({7: 55, 8: 30, 9: 12, 10: 3}, 7, 10, 8),
        ({0.5: 40, 1: 20, 1.5: 12, 2: 8, 2.5: 6, 3: 5, 3.5: 4, 4: 3, 4.5: 2, 5: 3}, 0.5, 5, 4),
    ],
)
def test_ratings_of_any_scale_are_recognised(shares, low, high, liked, events):
    result = loaded(drawn(shares, events))
    spec = result.dataset.feedback
    assert (spec.kind, spec.value_min, spec.value_max, spec.liked_at_least) == ("ratings", low, high, liked)
    assert result.summary.kind == "ratings"


@pytest.mark.parametrize("events", SIZES)
@pytest.mark.parametrize(
    ("low", "high", "mean", "spread", "liked"),
    [(1, 10, 7, 1.5, 8), (-10, 10, 0.7, 5.2, 6), (0, 100, 65, 25, 80), (0, 1, 0.6, 0.3, 0.8), (0, 5, 3.4, 1, 4)],
)
def test_decimals_on_a_bounded_scale_are_ratings(low, high, mean, spread, liked, events):
    spec = loaded(decimals(low, high, mean, spread, events)).dataset.feedback
    assert (spec.kind, spec.liked_at_least, spec.value_max) == ("ratings", liked, high)


def amounts(name: str, events: int) -> ArrayLike:
    rng = np.random.default_rng(events)
    return {
        "plays": lambda: np.minimum(rng.zipf(1.7, events), 100_000),
        "visits": lambda: rng.geometric(0.5, events),
        "purchases": lambda: rng.geometric(0.8, events),
        "many purchases": lambda: rng.geometric(0.1, events),
        "six-packs": lambda: rng.choice([1, 2, 3, 4, 5, 6, 12], events, p=[0.7, 0.12, 0.04, 0.04, 0.01, 0.05, 0.04]),
        "seconds": lambda: rng.lognormal(3, 1.2, events).round(1),
        "hours": lambda: rng.lognormal(0, 1.5, events).round(2),
        "money": lambda: rng.exponential(20, events).round(2),
        "returns": lambda: np.where(rng.random(events) < 0.02, -rng.geometric(0.5, events), rng.geometric(0.4, events)),
        "few returns": lambda: rng.choice([-1, 1, 2], events, p=[0.02, 0.9, 0.08]),
        "powers of ten": lambda: rng.choice([1, 10, 1000, 1_000_000], events),
        "up to 39": lambda: rng.integers(1, 40, events),
    }[name]()


@pytest.mark.parametrize("events", SIZES)
@pytest.mark.parametrize(
    "name",
    [
        "plays",
        "visits",
        "purchases",
        "many purchases",
        "six-packs",
        "seconds",
        "hours",
        "money",
        "returns",
        "few returns",
        "powers of ten",
        "up to 39",
    ],
)
def test_amounts_are_not_read_as_ratings(name, events):
    values = amounts(name, events)
    spec = loaded(values).dataset.feedback
    assert spec.kind == "counts"
    assert spec.liked_at_least == np.min(np.extract(np.asarray(values) > 0, values))
    assert spec.value_max == np.max(values)


@pytest.mark.parametrize(
    "values",
    [
        repeated({1: 50, 2: 20, 3: 8, 4: 3, 7: 1}),
        repeated({1: 50, 2: 20, 3: 8, 40: 1}),
        [float(value) for value in range(1, 40)],
    ],
)
def test_few_counts_are_not_read_as_ratings(values):
    feedback = loaded(values).dataset.feedback
    assert (feedback.kind, feedback.liked_at_least, feedback.value_max) == ("counts", 1, max(values))


@pytest.mark.parametrize("value", [1.0, 5.0])
def test_one_value_is_a_click_unless_pairs_repeat(value):
    feedback = loaded([value] * 30).dataset.feedback
    assert (feedback.kind, feedback.value_min, feedback.liked_at_least, feedback.value_max) == ("clicks", *[value] * 3)
    assert loaded([value] * 30, repeat=2).dataset.feedback.kind == "counts"


@pytest.mark.parametrize("stray", [99, 55, 1000, 1e6, 3e38, -1, -5, 0, 11, 10.5])
@pytest.mark.parametrize(
    ("shares", "events"), [(TEN, 300), (TEN, 20_000), ({1: 10, 2: 20, 3: 9, 8: 14, 9: 32, 10: 15}, 780)]
)
def test_one_wrong_row_changes_neither_kind_nor_scale(shares, events, stray):
    result = loaded([*drawn(shares, events), stray])
    spec = result.dataset.feedback
    assert (spec.kind, spec.value_min, spec.value_max, spec.liked_at_least) == ("ratings", 1, 10, 8)
    (note,) = [note for note in result.summary.notes if "value is" in note.reason]
    assert note.count == 1
    assert str(int(stray) if stray < 1e6 else "") in note.reason
    assert result.dataset.n_items == events


def test_one_good_rating_among_bad_ones_is_not_an_outlier():
    result = loaded([1.0] * 479 + [5.0], feedback="ratings")
    assert (result.dataset.feedback.value_max, result.dataset.feedback.liked_at_least) == (5, 5)


@pytest.mark.parametrize("stray", [2, 7.5, 10])
def test_a_rare_value_within_the_scale_stays(stray):
    values = [*drawn({1: 10, 3: 20, 5: 20, 8: 25, 9: 25}, 500), stray]
    spec = loaded(values).dataset.feedback
    assert (spec.kind, spec.value_min, spec.value_max) == ("ratings", 1, max(9, stray))
    assert len(loaded(values).dataset.item_ids) == len(values)


@pytest.mark.parametrize(
    ("shares", "dropped", "low", "high"),
    [
        (TEN | {-1: 25}, -1, 1, 10),
        (STARS | {-1: 40}, -1, 1, 5),
        (MOVIES | {-1: 5}, -1, 0.5, 5),
        (TEN | {99: 70}, 99, 1, 10),
        (STARS | {9: 20}, 9, 1, 5),
        (STARS | {999: 20}, 999, 1, 5),
        (STARS | {88: 10, 99: 20}, 88, 1, 5),
        (TEN | {-1: 10, -9: 5}, -9, 1, 10),
        (BOOKS, 0, 1, 10),
        (STARS | {0: 150}, 0, 1, 5),
        (MOVIES | {0: 150}, 0, 0.5, 5),
        (STARS | {3.4e38: 12}, 1e15, 1, 5),
    ],
)
def test_markers_of_a_missing_rating_are_dropped_and_counted(shares, dropped, low, high):
    values = drawn(shares, 5000)
    result = loaded(values)
    spec = result.dataset.feedback
    assert (spec.kind, spec.value_min, spec.value_max) == ("ratings", low, high)
    outside = int(((values < low) | (values > high)).sum())
    assert [note.count for note in result.summary.notes if f"{dropped:g}" in note.reason] == [outside]
    assert len(result.dataset.events.values) == len(values) - outside


def test_99_is_not_a_joke_rating():
    jokes = decimals(-10, 10, 0.7, 5.2, 3000)
    result = loaded(np.where(np.random.default_rng(1).random(3000) < 0.4, 99, jokes))
    assert (result.summary.kind, result.summary.value_min, result.summary.value_max) == ("ratings", -10, 10)


@pytest.mark.parametrize("shares", [{0: 38, 1: 62}, {0: 20, 1: 15, 2: 15, 3: 20, 4: 20, 5: 10}, {-1: 1, 0: 1, 1: 1}])
def test_zero_is_a_rating_if_adjacent_values_are_as_common(shares):
    values = drawn(shares, 2000)
    assert len(loaded(values).dataset.events.values) == len(values)


def test_minus_one_is_not_a_share_of_a_video():
    shares = np.random.default_rng(3).beta(0.6, 0.8, 2000).round(2)
    result = loaded(np.where(np.random.default_rng(4).random(2000) < 0.3, -1, shares))
    assert (result.summary.kind, result.summary.value_min) == ("ratings", 0)
    assert result.dataset.feedback.liked_at_least == pytest.approx(0.8)


def test_percentages_with_many_low_values_are_ratings():
    rng = np.random.default_rng(5)
    watched = np.where(rng.random(3000) < 0.2, 100, np.minimum(rng.exponential(12, 3000), 100).round())
    result = loaded(watched)
    assert (result.summary.kind, result.dataset.feedback.liked_at_least) == ("ratings", 80)
    assert "so they may be counts" in result.summary.warnings[0]


def test_negative_counts_are_noted():
    result = loaded(amounts("returns", 5000))
    (note,) = [note for note in result.summary.notes if "below 0" in note.reason]
    assert note.count == int((np.asarray(amounts("returns", 5000)) < 0).sum())


def test_zeros_of_counts_are_events_without_a_like():
    values = repeated({0: 500, 1: 300, 2: 100, 3: 40, 4: 12, 5: 3, 6: 1})
    feedback = loaded(values).dataset.feedback
    assert (feedback.kind, feedback.value_min, feedback.liked_at_least) == ("counts", 0, 1)


@pytest.mark.parametrize(
    ("shares", "kind", "other"),
    [
        ({1: 90, 2: 10}, "counts", "ratings"),
        ({1: 30, 2: 70}, "ratings", "counts"),
        ({1: 50, 20: 50}, "counts", "ratings"),
        ({1: 45, 2: 25, 3: 15, 4: 10, 5: 5}, "ratings", "counts"),
        ({1: 80, 2: 15, 3: 5}, "counts", "ratings"),
        ({1: 26, 2: 19, 3: 14, 4: 11, 5: 8, 6: 6, 7: 4, 8: 3, 9: 2, 10: 7}, "ratings", "counts"),
        (dict.fromkeys(range(1, 90), 1), "ratings", "counts"),
    ],
)
def test_weak_evidence_is_a_warning_that_names_the_option(shares, kind, other):
    result = loaded(drawn(shares, 5000))
    assert result.summary.kind == kind
    (warning,) = result.summary.warnings
    assert f"may be {other}" in warning
    assert f"--feedback {kind} or --feedback {other}" in warning
    for chosen in (kind, other):
        assert not [text for text in loaded(drawn(shares, 5000), feedback=chosen).summary.warnings if "may be" in text]


@pytest.mark.parametrize("shares", [STARS, TEN, MOVIES, COMPLAINTS, {0: 38, 1: 62}])
def test_clear_evidence_gives_no_warning(shares):
    assert loaded(drawn(shares, 2000)).summary.warnings == ()


def test_repeated_pairs_decide_for_counts_if_the_values_are_ambiguous():
    values = drawn({1: 45, 2: 25, 3: 15, 4: 10, 5: 5}, 3000)
    assert loaded(values).summary.kind == "ratings"
    result = loaded(values, repeat=2)
    assert (result.summary.kind, result.summary.warnings) == ("counts", ())


@pytest.mark.parametrize(
    ("chosen", "low", "high", "liked"), [("ratings", 1, 5, 4), ("counts", 1, 5, 1), ("clicks", 1, 1, 1)]
)
def test_the_kind_can_be_set(chosen, low, high, liked):
    result = loaded(drawn(STARS, 300), feedback=chosen)
    spec = result.dataset.feedback
    assert (spec.kind, spec.value_min, spec.value_max, spec.liked_at_least) == (chosen, low, high, liked)
    assert "set by --feedback" in result.summary.render().plain


def test_clicks_are_likes_only_above_zero():
    feedback = loaded([-1.0, 0.0, 3.0, 5.0, 1.0, 0.0], feedback="clicks").dataset.feedback
    assert (feedback.value_min, feedback.liked_at_least, feedback.value_max) == (0, 1, 1)


@pytest.mark.parametrize("liked_from", [1, 3, 4.5, 5])
def test_the_first_liked_rating_can_be_set(liked_from):
    result = loaded(drawn(STARS, 300), liked_from=liked_from)
    assert result.dataset.feedback.liked_at_least == liked_from
    assert result.dataset.feedback.types["click"] == liked_from


@pytest.mark.parametrize("liked_from", [0.5, 6, -3])
def test_a_threshold_outside_of_the_scale_is_refused_with_the_scale(liked_from):
    with pytest.raises(DataError, match=rf"--liked-from {liked_from:g}: ratings are between 1 and 5"):
        loaded(drawn(STARS, 300), liked_from=liked_from)


@pytest.mark.parametrize(("liked_from", "share"), [(10, "2."), (2, "9")])
def test_a_threshold_with_hardly_any_or_nearly_all_likes_is_a_warning(liked_from, share):
    (warning,) = loaded(drawn(TEN | {10: 3}, 3000), liked_from=liked_from).summary.warnings
    assert warning.startswith(share)
    assert "--liked-from" in warning


def test_the_summary_shows_the_kind_and_the_reason():
    text = loaded(drawn(STARS, 300)).summary.render().plain
    assert (
        "kind    ratings, 1 to 5: they end at 5, but counts would continue (--feedback and --liked-from change" in text
    )


def test_impossibly_large_values_are_refused():
    with pytest.raises(DataError, match="column 'value' has no number within ±1e\\+15"):
        loaded([1e38, 2e38, 3e38])


def test_weights_of_event_types_are_counts_and_name_the_vocabulary():
    values = [1.0, 1.0, 1.0, 5.0, 5.0, 5.0, 5.0, 3.0]
    result = loaded(values, ["glance"] * 3 + ["buy"] * 4 + ["basket"])
    assert result.summary.kind == "counts"
    assert result.dataset.feedback.types == {"glance": 1.0, "buy": 5.0, "basket": 3.0}


def test_a_stray_name_of_an_event_changes_nothing():
    values = drawn(STARS, 500)
    assert loaded(values, ["rate"] * 499 + ["view"]).summary.kind == "ratings"


def test_names_that_never_repeat_are_not_event_types():
    values = drawn(STARS, 500)
    assert loaded(values, [f"session-{row}" for row in range(500)]).summary.kind == "ratings"


def test_ratings_of_several_types_of_event_are_ratings():
    values = drawn(STARS, 500)
    assert loaded(values, ["web", "app"] * 250).summary.kind == "ratings"


def test_ratings_mixed_with_events_of_one_value_are_refused_unless_the_kind_is_set():
    values, names = [*drawn(STARS, 500), *[1.0] * 300], ["rate"] * 500 + ["view"] * 300
    with pytest.raises(
        DataError, match=r"column 'event' mixes ratings \(rate 1 to 5\) .* \(view 1\).* --feedback counts"
    ):
        loaded(values, names)
    for kind in ("ratings", "counts"):
        assert loaded(values, names, feedback=kind).summary.kind == kind


def test_quantities_mixed_with_events_of_one_value_are_counts():
    values = [*np.random.default_rng(0).geometric(0.7, 500), *[1.0] * 300]
    assert loaded(values, ["buy"] * 500 + ["view"] * 300).summary.kind == "counts"


def test_counts_are_likes_only_above_zero():
    feedback = loaded([-1.0, 1.0, 0.0, 2.0, 1.0, -1.0], feedback="counts").dataset.feedback
    assert (feedback.value_min, feedback.liked_at_least, feedback.value_max) == (-1, 1, 2)


def test_only_the_most_common_names_of_events_enter_the_vocabulary():
    names = ["often", "often", "bad\nname", "x" * 65, *(f"rare-{index:02}" for index in range(30))]
    types = loaded([1.0] * len(names), names).dataset.feedback.types
    assert len(types) == 4 + 20
    assert "often" in types
    assert not {"bad\nname", "x" * 65} & set(types)
