"""The MeLU study: training reads nothing that is judged."""

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

from model_store.commands.evaluate import evaluate
from model_store.config import RatingConfig
from model_store.data.sources import prepare, read_source
from model_store.data.split import split_users
from model_store.evaluation.figures import Figures
from model_store.studies.ratings.quadrants import (
    NEW_BOTH,
    NEW_ITEMS,
    NEW_USERS,
    QUADRANTS,
    WARM,
    find_new_items,
    make_quadrants,
)
from model_store.studies.ratings.results import RatingResults
from model_store.studies.ratings.study import evaluate_ratings

QUIET = Console(quiet=True)
CONFIG = RatingConfig(dim=4, l2=(4.0,), max_epochs=30, batch_users=16, learning_rate=0.02)

Models = dict[str, dict[str, Figures]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated_world.write_world(tmp_path_factory.mktemp("ratings"))


@pytest.fixture(scope="module")
def results(world: Path) -> RatingResults:
    return evaluate_ratings(str(world), CONFIG, QUIET)


def test_a_world_of_groups_is_learned_in_every_quadrant(results: RatingResults) -> None:
    """Ratings differ by one at random, so .37 is the least possible error; biases cannot express groups."""
    for quadrant in QUADRANTS:
        mae = results.models["kshot"][quadrant]["mae"]
        assert mae.mean < 0.65
        assert results.models["user + item bias"][quadrant]["mae"].mean > 0.7
        assert mae.interval[0] <= mae.mean <= mae.interval[1]


def judged_after(tmp_path: Path, change: rated_world.Change) -> Models:
    return evaluate_ratings(str(rated_world.write_world(tmp_path, change)), CONFIG, QUIET).models


def turned(chosen: pl.Expr) -> rated_world.Change:
    """Invert the chosen ratings: 5 becomes 1."""
    return lambda rows: rows.with_columns(value=pl.when(chosen).then(6 - pl.col("value")).otherwise(pl.col("value")))


def assert_changed(before: Models, after: Models, changed: set[str]) -> None:
    for name in before:
        for quadrant in QUADRANTS:
            assert (before[name][quadrant] != after[name][quadrant]) == (quadrant in changed), (name, quadrant)


def test_ratings_of_new_items_are_in_no_training(results: RatingResults, tmp_path: Path) -> None:
    after = judged_after(tmp_path, turned(pl.col("year") >= rated_world.NEW_FROM))
    assert_changed(results.models, after, {NEW_ITEMS, NEW_BOTH})


def test_new_users_are_in_no_training(world: Path, results: RatingResults, tmp_path: Path) -> None:
    dataset = prepare(str(world), read_source(str(world))).dataset
    new = [dataset.user_ids[user] for user in split_users(dataset.events.n_users, CONFIG.seed).test]
    after = judged_after(tmp_path, turned(pl.col("user_id").is_in(new)))
    assert_changed(results.models, after, {NEW_USERS, NEW_BOTH})


def test_the_choosing_training_does_not_read_validation_users(
    world: Path, results: RatingResults, tmp_path: Path
) -> None:
    dataset = prepare(str(world), read_source(str(world))).dataset
    validation = [dataset.user_ids[user] for user in split_users(dataset.events.n_users, CONFIG.seed).validation]
    folder = rated_world.write_world(tmp_path, turned(pl.col("user_id").is_in(validation)))
    changed = evaluate_ratings(str(folder), CONFIG, QUIET).training.history
    # The validation users decide the length of the training, not what is learned up to there.
    for before, after in zip(results.training.history, changed, strict=False):
        assert before.loss == after.loss
        assert before.validation != after.validation


def test_queries_of_existing_users_are_in_no_training(world: Path, results: RatingResults, tmp_path: Path) -> None:
    tables = read_source(str(world))
    dataset = prepare(str(world), tables).dataset
    new = find_new_items(dataset, tables.items, CONFIG.seed).new
    warm = make_quadrants(dataset.events, split_users(dataset.events.n_users, CONFIG.seed), new)[WARM]
    users = np.repeat(warm.support.users, 10)
    query = pl.DataFrame(
        {
            "user_id": [dataset.user_ids[user] for user in users],
            "item_id": [dataset.item_ids[item] for item in warm.query.items],
        }
    )

    def change(rows: pl.DataFrame) -> pl.DataFrame:
        marked = rows.join(
            query.with_columns(in_query=True), on=["user_id", "item_id"], how="left", maintain_order="left"
        )
        return turned(pl.col("in_query").fill_null(value=False))(marked)

    assert_changed(results.models, judged_after(tmp_path, change), {WARM})


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


@pytest.mark.parametrize("option", [("--bundles", "folder"), ("--shots", "0,1")])
def test_options_of_the_other_protocol_are_refused(world: Path, option: tuple[str, str]) -> None:
    ended = command("--data", str(world), *option)
    assert ended.exit_code == 1
    name, value = option
    expected = f"error: {name} {value}: --protocol melu trains a model of its own, expected no {name}\n"
    assert ended.stderr == expected


def test_without_content_new_items_cannot_be_ranked(world: Path) -> None:
    models = evaluate_ratings(str(world), CONFIG.model_copy(update={"content": False}), QUIET).models
    assert models.keys() == {"kshot", "global mean", "user + item bias"}
    assert models["kshot"][NEW_ITEMS]["ndcg@5"] == models["global mean"][NEW_ITEMS]["ndcg@5"]
    assert models["kshot"][WARM]["mae"].mean < 0.6


def test_counts_are_refused(tmp_path: Path) -> None:
    pl.DataFrame(
        {"user_id": ["a", "b"] * 5, "item_id": [f"i{number}" for number in range(10)], "value": [1.0] * 10}
    ).write_parquet(tmp_path / "interactions.parquet")
    ended = command("--data", str(tmp_path))
    assert ended.exit_code == 1
    assert "values are clicks, expected ratings" in ended.stderr
