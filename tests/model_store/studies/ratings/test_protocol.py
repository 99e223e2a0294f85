"""The MeLU protocol: who stands in which quadrant, and that training sees nothing of what is judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rated_world
import typer
from rich.console import Console
from typer.testing import CliRunner

from model_store.bundle.manifest import DataFingerprint
from model_store.commands.evaluate import evaluate
from model_store.config import RatingConfig
from model_store.data.schema import Events, ItemFeatures
from model_store.data.sources import prepare, read_source
from model_store.data.split import UserSplit, split_users
from model_store.errors import DataError
from model_store.studies.ratings.baselines import Biases, fit, nearest
from model_store.studies.ratings.episodes import RatedUsers
from model_store.studies.ratings.model import feature_matrix
from model_store.studies.ratings.published import published
from model_store.studies.ratings.quadrants import (
    NEW_BOTH,
    NEW_ITEMS,
    NEW_USERS,
    QUADRANTS,
    WARM,
    find_new_items,
    make_quadrants,
)
from model_store.studies.ratings.story import evaluate_ratings
from model_store.studies.ratings.table import rating_table

QUIET = Console(quiet=True)
CONFIG = RatingConfig(dim=4, l2=(4.0,), max_epochs=30, batch_users=16, learning_rate=0.02)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_world.write_world(tmp_path_factory.mktemp("ratings"))


@pytest.fixture(scope="module")
def results(world: Path) -> dict:
    return evaluate_ratings(str(world), CONFIG, QUIET)


def counted(*users: tuple[int, int]) -> Events:
    """Users with so many ratings of existing items (0 … 149) and of new ones (150 … 299), mixed."""
    rng = np.random.default_rng(0)
    rows = [rng.permutation([*range(old), *range(150, 150 + new)]) for old, new in users]
    items = np.concatenate(rows).astype(np.int32)
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Events(indptr, items, (1 + items % 5).astype(np.float32), np.zeros(len(items)))


NEW = np.arange(300) >= 150


def split_of(train: list[int], validation: list[int], test: list[int]) -> UserSplit:
    return UserSplit(*(np.array(users, dtype=np.int64) for users in (train, validation, test)))


def test_a_user_stands_in_a_quadrant_with_13_to_100_ratings_of_its_items() -> None:
    events = counted((13, 12), (100, 13), (12, 100), (101, 101), (50, 0), (20, 40), (12, 13), (14, 101))
    quadrants = make_quadrants(events, split_of([0, 1, 2, 3], [4], [5, 6, 7]), NEW)
    found = {name: quadrant.support.users.tolist() for name, quadrant in quadrants.items()}
    assert found == {WARM: [0, 1, 4], NEW_USERS: [5, 7], NEW_ITEMS: [1, 2], NEW_BOTH: [5, 6]}


def test_the_last_ten_ratings_of_a_quadrants_items_are_asked_and_the_others_told() -> None:
    events = counted((30, 15), (20, 20), (25, 13))
    quadrants = make_quadrants(events, split_of([0], [1], [2]), NEW)
    for name, users, new in ((WARM, [0, 1], False), (NEW_USERS, [2], False), (NEW_ITEMS, [0, 1], True)):
        quadrant = quadrants[name]
        for row, user in enumerate(users):
            own = events.items[events.user(user)]
            expected = [item for item in own.tolist() if NEW[item] == new]
            support, query = quadrant.support.events, quadrant.query
            assert support.items[support.user(row)].tolist() == expected[:-10]
            assert query.items[query.user(row)].tolist() == expected[-10:]
            assert quadrant.values()[row].tolist() == [1 + item % 5 for item in expected[-10:]]


@pytest.mark.parametrize(("train", "validation", "group"), [([0], [1], "training"), ([1], [0], "validation")])
def test_data_without_enough_ratings_is_refused_by_group(train: list[int], validation: list[int], group: str) -> None:
    with pytest.raises(DataError, match=f"no {group} user has 13 to 100 ratings of existing items"):
        make_quadrants(counted((12, 0), (20, 0), (20, 0)), split_of(train, validation, [2]), NEW)


def found_new(folder: Path, interactions: dict, items: dict | None = None) -> tuple[list[str], str]:
    pl.DataFrame(interactions).write_parquet(folder / "interactions.parquet")
    if items is not None:
        pl.DataFrame(items).write_parquet(folder / "items.parquet")
    tables = read_source(str(folder))
    dataset = prepare(str(folder), tables).dataset
    found = find_new_items(dataset, tables.items, seed=0)
    return [dataset.item_ids[row] for row in np.flatnonzero(found.new)], found.rule


ITEMS = [f"i{number}" for number in range(10)]
RATED = {"user_id": ["a", "b"] * 5, "item_id": ITEMS, "value": [1.0, 2.0, 3.0, 4.0, 5.0] * 2}


@pytest.mark.parametrize(
    ("years", "expected", "rule"),
    [
        ([1990] * 8 + [1998, 1999], ["i8", "i9"], "year >= 1998"),
        ([1990] * 7 + [1998, 1998, 1999], ["i9"], "year >= 1999"),
        ([None, *[1990] * 7, 1999, 1999], ["i8", "i9"], "year >= 1999"),
        ([1990] * 7 + [1999] * 3, ["i7", "i8", "i9"], "year >= 1999"),
    ],
)
def test_the_newest_fifth_by_year_is_new(tmp_path: Path, years: list, expected: list[str], rule: str) -> None:
    assert found_new(tmp_path, RATED, {"item_id": ITEMS, "year": years}) == (expected, rule)


def test_without_years_the_items_seen_last_are_new(tmp_path: Path) -> None:
    timed = {**RATED, "timestamp": [9, 1, 2, 3, 8, 4, 5, 6, 7, 0]}
    assert found_new(tmp_path, timed) == (["i0", "i4"], "latest first event")


def test_without_years_and_time_new_items_are_drawn(tmp_path: Path) -> None:
    items, rule = found_new(tmp_path, RATED)
    assert len(items) == 2
    assert rule == "random, seeded"


def test_the_known_world_is_learned_in_every_quadrant(results: dict) -> None:
    """Ratings of one kind differ by one at random: .37 is the least there can be, and biases know nothing of groups."""
    for quadrant in QUADRANTS:
        assert results["models"]["kshot"][quadrant]["mae"] < 0.65
        assert results["models"]["user + item bias"][quadrant]["mae"] > 0.7
        low, high = results["models"]["kshot"][quadrant]["mae_interval"]
        assert low <= results["models"]["kshot"][quadrant]["mae"] <= high


def judged_after(tmp_path: Path, change: rated_world.Change) -> dict:
    return evaluate_ratings(str(rated_world.write_world(tmp_path, change)), CONFIG, QUIET)["models"]


def turned(which: pl.Expr) -> rated_world.Change:
    """Turns the chosen ratings around: 5 becomes 1."""
    return lambda rows: rows.with_columns(value=pl.when(which).then(6 - pl.col("value")).otherwise(pl.col("value")))


def assert_only_these_change(before: dict, after: dict, changed: set[str]) -> None:
    for name in before:
        for quadrant in QUADRANTS:
            assert (before[name][quadrant] != after[name][quadrant]) == (quadrant in changed), (name, quadrant)


def test_ratings_of_new_items_are_in_no_training(results: dict, tmp_path: Path) -> None:
    after = judged_after(tmp_path, turned(pl.col("year") >= rated_world.NEW_FROM))
    assert_only_these_change(results["models"], after, {NEW_ITEMS, NEW_BOTH})


def test_new_users_are_in_no_training(world: Path, results: dict, tmp_path: Path) -> None:
    dataset = prepare(str(world), read_source(str(world))).dataset
    new = [dataset.user_ids[user] for user in split_users(dataset.events.n_users, CONFIG.seed).test]
    after = judged_after(tmp_path, turned(pl.col("user_id").is_in(new)))
    assert_only_these_change(results["models"], after, {NEW_USERS, NEW_BOTH})


def test_validation_users_choose_and_are_not_learned_from_before(world: Path, results: dict, tmp_path: Path) -> None:
    dataset = prepare(str(world), read_source(str(world))).dataset
    choosers = [dataset.user_ids[user] for user in split_users(dataset.events.n_users, CONFIG.seed).validation]
    folder = rated_world.write_world(tmp_path, turned(pl.col("user_id").is_in(choosers)))
    after = evaluate_ratings(str(folder), CONFIG, QUIET)["training"]["history"]
    before = results["training"]["history"]
    # How long is trained differs with them, what is learned until then does not.
    for one, other in zip(before, after, strict=False):
        assert one["loss"] == other["loss"]
        assert one["validation"] != other["validation"]


def test_what_existing_users_are_asked_is_in_no_training(world: Path, results: dict, tmp_path: Path) -> None:
    tables = read_source(str(world))
    dataset = prepare(str(world), tables).dataset
    new = find_new_items(dataset, tables.items, CONFIG.seed).new
    warm = make_quadrants(dataset.events, split_users(dataset.events.n_users, CONFIG.seed), new)[WARM]
    owners = np.repeat(warm.support.users, 10)
    asked = pl.DataFrame(
        {
            "user_id": [dataset.user_ids[user] for user in owners],
            "item_id": [dataset.item_ids[item] for item in warm.query.items],
        }
    )

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        marked = rows.join(asked.with_columns(asked=True), on=["user_id", "item_id"], how="left", maintain_order="left")
        return turned(pl.col("asked").fill_null(value=False))(marked)

    assert_only_these_change(results["models"], judged_after(tmp_path, change), {WARM})


def biased(n_users: int = 6, n_items: int = 8) -> tuple[RatedUsers, np.ndarray, np.ndarray]:
    """Ratings that are a user's bias plus an item's, both with mean 0, plus 3."""
    rng = np.random.default_rng(0)
    users, items = rng.normal(size=n_users), rng.normal(size=n_items)
    users, items = users - users.mean(), items - items.mean()
    values = (3 + users[:, None] + items).astype(np.float32).ravel()
    rows = np.tile(np.arange(n_items), n_users).astype(np.int32)
    events = Events(np.arange(0, len(rows) + 1, n_items), rows, values, np.zeros(len(rows)))
    return RatedUsers(np.arange(n_users), events), users, items


def test_biases_are_found_where_there_is_nothing_else() -> None:
    rated, _, items = biased()
    fitted = fit(rated, feature_matrix(one_hot(8)), shrinkage=1e-9)
    np.testing.assert_allclose(fitted.items, items, atol=1e-5)
    predicted = fitted.predict(rated, rated.events)
    np.testing.assert_allclose(predicted.ratings, rated.events.values, atol=1e-5)


def test_the_content_ridge_is_ridge_regression_on_item_means() -> None:
    """One feature an item: its bias is the mean of its ratings times n / (n + ridge), to which no more is added."""
    rated, _, items = biased()
    fitted = fit(rated, feature_matrix(one_hot(8)), shrinkage=1e9, ridge=3.0)
    np.testing.assert_allclose(fitted.items, items * 6 / (6 + 3), atol=1e-4)


def one_hot(n_items: int) -> ItemFeatures:
    names = [f"item={row}" for row in range(n_items)]
    return ItemFeatures(names, np.arange(n_items + 1), np.arange(n_items), np.ones(n_items, dtype=np.float32))


def test_predictions_are_rounded_to_the_nearest_level() -> None:
    levels = np.array([1, 2, 4], dtype=np.float32)
    assert nearest(levels, np.array([-5, 1.4, 1.6, 2.9, 3.1, 9])).tolist() == [1, 1, 2, 2, 4, 4]
    rated, _, _ = biased()
    rounded = Biases(3.0, np.zeros(8), 1.0, levels).predict(rated, rated.events)
    assert set(rounded.ratings) <= {1, 2, 4}
    assert len(set(rounded.scores)) == 6


def data_of(users: int, events: int) -> DataFingerprint:
    return DataFingerprint(source="x", sha256="0" * 64, users=users, items=3883, events=events)


def test_published_figures_stand_beside_ml_1m_in_the_papers_division_only() -> None:
    figures = published(data_of(6040, 1_000_209), "year >= 1998")
    assert [figures["MeLU (the paper)"][name]["mae"] for name in QUADRANTS] == [
        0.75,
        0.79,
        0.92,
        0.92,
    ]
    assert published(data_of(6040, 1_000_209), "year >= 1999") == {}
    assert published(data_of(671, 100_004), "year >= 1998") == {}


def shown(results: dict) -> str:
    console = Console(width=160)
    with console.capture() as captured:
        console.print(rating_table(results))
    return captured.get()


def test_the_table_has_every_model_and_what_was_published(results: dict) -> None:
    beside = {"elsewhere": {name: {"mae": 0.75} for name in QUADRANTS}}
    text = shown({**results, "published": beside})
    rows = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert rows.count("kshot") == 4  # once a metric
    assert rows.count("elsewhere") == 1
    assert "year >= 1998" in text
    assert f"{results['models']['kshot'][WARM]['mae']:.4f}" in text


def test_an_empty_quadrant_is_shown_as_absent(results: dict) -> None:
    models = {name: {WARM: figures[WARM]} for name, figures in results["models"].items()}
    text = shown({**results, "models": models})
    assert next(line for line in text.splitlines() if "kshot" in line).split()[-3:] == ["-", "-", "-"]


def command(*arguments: str):
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, ["--protocol", "melu", *arguments])


def test_the_command_writes_every_number(world: Path, tmp_path: Path) -> None:
    ended = command("--data", str(world), "--max-epochs", "2", "--json", str(tmp_path / "out.json"))
    assert ended.exit_code == 0, ended.stderr
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["protocol"]["new_items"] == {"rule": "year >= 1998", "count": 24}
    assert written["models"]["kshot"].keys() == set(QUADRANTS)
    assert written["training"]["l2"] in (16, 64, 256)
    assert "NDCG@5" in ended.stderr


@pytest.mark.parametrize("option", [("--store", "there"), ("--shots", "0,1")])
def test_what_belongs_to_the_other_protocol_is_refused(world: Path, option: tuple[str, str]) -> None:
    ended = command("--data", str(world), *option)
    assert ended.exit_code == 1
    name, value = option
    expected = f"error: {name} {value}: --protocol melu trains a model of its own, expected no {name}\n"
    assert ended.stderr == expected


def test_without_content_new_items_are_all_alike(world: Path) -> None:
    models = evaluate_ratings(str(world), CONFIG.model_copy(update={"content": False}), QUIET)["models"]
    assert models.keys() == {"kshot", "global mean", "user + item bias"}
    assert models["kshot"][NEW_ITEMS]["ndcg@5"] == models["global mean"][NEW_ITEMS]["ndcg@5"]
    assert models["kshot"][WARM]["mae"] < 0.6


def test_counts_are_no_ratings(tmp_path: Path) -> None:
    pl.DataFrame({**RATED, "value": [1.0] * 10}).write_parquet(tmp_path / "interactions.parquet")
    ended = command("--data", str(tmp_path))
    assert ended.exit_code == 1
    assert "values are clicks, expected ratings" in ended.stderr
