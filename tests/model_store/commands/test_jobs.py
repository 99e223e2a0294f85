"""The stories of the model store, on a world whose right answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import made_up
import numpy as np
import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from model_store import jobs
from model_store.bundle import Registry
from model_store.config import EpisodeOrder, JudgingConfig, TrainingConfig
from model_store.data.sources import load
from model_store.data.split import split_users
from model_store.errors import DataError
from model_store.evaluation.protocol import choose_protocol
from model_store.learning.learn import learn
from model_store.meta.checkpoint import Checkpoint

QUIET = Console(quiet=True)
CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10)


@pytest.fixture(scope="module")
def results(source: Path, trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What ``kshot evaluate`` writes about the trained bundle."""
    out = tmp_path_factory.mktemp("evaluated") / "out.json"
    jobs_json = jobs.evaluate_store(str(source), trained_store, JudgingConfig(shots=(0, 1, 3, 5)), QUIET)
    out.write_text(json.dumps(jobs_json))
    return json.loads(out.read_text())


def test_every_model_has_every_metric_at_every_k(results: dict) -> None:
    assert set(results["models"]) >= {"kshot", "popularity", "item-kNN", "EASE"}
    for by_shots in results["models"].values():
        assert set(by_shots) == {"0", "1", "3", "5"}
        for figures in by_shots.values():
            assert set(figures) >= {"ndcg@10", "recall@20", "hr@10", "coverage@10"}


def test_a_few_events_are_enough_in_a_world_of_groups(results: dict) -> None:
    """Of five events one is liked but for bad luck; of one event three in four are."""
    kshot, popularity = results["models"]["kshot"], results["models"]["popularity"]
    assert kshot["5"]["ndcg@10"] > 0.8
    assert kshot["1"]["ndcg@10"] > 0.5
    assert popularity["5"]["ndcg@10"] < 0.3
    assert kshot["0"]["ndcg@10"] == pytest.approx(popularity["0"]["ndcg@10"])


def test_the_difference_to_the_best_baseline_is_paired(results: dict) -> None:
    best = results["best_baseline"]["3"]
    found = results["models"]["kshot"]["3"]["ndcg@10"] - results["models"][best["name"]]["3"]["ndcg@10"]
    assert best["difference"] == pytest.approx(found)
    assert best["interval"][0] <= best["difference"] <= best["interval"][1]


def test_what_is_published_is_what_was_judged(results: dict, trained_store: Path) -> None:
    folder = Registry(trained_store).live_folder()
    report = json.loads((folder / "report.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert report["models"]["kshot"] == results["models"]["kshot"] == manifest["results"]["kshot"]
    assert report["ablations"] == results["ablations"]
    assert {"without votes", "votes alone", "without ages"} < set(report["ablations"])
    assert "<html" in (folder / "report.html").read_text()


def test_a_bundle_is_not_judged_on_data_it_was_not_trained_on(trained_store: Path, tmp_path: Path) -> None:
    other = made_up.write_source(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match=r"evaluate it on the same data"):
        jobs.evaluate_store(str(other), trained_store, JudgingConfig(), QUIET)


def published(source: Path, store: Path) -> Path:
    jobs.train(str(source), store, CONFIG, JudgingConfig(shots=(0, 1, 3)), QUIET)
    return Registry(store).live_folder()


def test_nothing_of_a_test_user_reaches_the_bundle(source: Path, tmp_path: Path) -> None:
    """With all test users' tastes turned around, the same bundle is learned, and another figure is reported."""
    dataset = load(str(source)).dataset
    test = [dataset.user_ids[user] for user in split_users(dataset.events.n_users, CONFIG.seed).test]
    turned = tmp_path / "turned"
    made_up.write_source(turned)
    events = pl.read_parquet(turned / "interactions.parquet")
    is_test = pl.col("user_id").is_in(test)
    opposite = pl.when(is_test).then(6 - pl.col("value")).otherwise(pl.col("value"))
    events.with_columns(value=opposite).write_parquet(turned / "interactions.parquet")

    one, other = published(source, tmp_path / "one"), published(turned, tmp_path / "two")
    for name in ("items.vectors.npy", "neighbours.rows.npy", "neighbours.weights.npy"):
        np.testing.assert_array_equal(np.load(one / name), np.load(other / name))
    assert (one / "adapt.onnx").read_bytes() == (other / "adapt.onnx").read_bytes()
    assert (one / "report.json").read_bytes() != (other / "report.json").read_bytes()


def test_several_splits_are_judged_as_one(source: Path) -> None:
    pooled = jobs.evaluate_anew(str(source), CONFIG, JudgingConfig(shots=(0, 1, 3)), QUIET, splits=2)
    users = [split["protocol"]["users"] for split in pooled["splits"]]
    assert [split["protocol"]["seed"] for split in pooled["splits"]] == [0, 1]
    assert pooled["protocol"]["users"] == sum(users)
    for name, by_shots in pooled["models"].items():
        each = [split["models"][name]["3"]["ndcg@10"] for split in pooled["splits"]]
        assert by_shots["3"]["ndcg@10"] == pytest.approx(np.average(each, weights=users))


def test_ablations_stand_beside_the_figures_of_the_bundle(source: Path) -> None:
    judging = JudgingConfig(shots=(0, 1, 3), max_items=50, ablations=True)
    results = jobs.evaluate_anew(str(source), CONFIG, judging, QUIET)
    variants = results["ablations"]
    retrained = {"trained without content", "trained without ages", "trained with entropy 0.5"}
    assert {"without votes", "without ages", *retrained} < set(variants)
    # The bundle and the network that it was exported from rank alike.
    for k, judged in variants["kshot"].items():
        assert judged["ndcg@10"] == pytest.approx(results["models"]["kshot"][k]["ndcg@10"], abs=1e-4)
    assert variants["trained with entropy 0.5"]["3"] != variants["kshot"]["3"]


def drifting(folder: Path) -> Path:
    """Users who like 8 of 20 items first, and then 8 of 20 others."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": user, "item_id": int(item), "value": 5.0, "seq": place}
        for user in range(150)
        for place, item in enumerate([*rng.choice(20, 8, replace=False), *20 + rng.choice(20, 8, replace=False)])
    ]
    folder.mkdir()
    pl.DataFrame(rows).write_parquet(folder / "interactions.parquet")
    return folder


@pytest.mark.parametrize("asked", list(EpisodeOrder))
def test_validation_users_say_whether_episodes_keep_the_order(tmp_path: Path, asked: EpisodeOrder) -> None:
    dataset = load(str(drifting(tmp_path / "drifting"))).dataset
    faster = {"batch_users": 16, "learning_rate": 0.03, "max_epochs": 6, "cross_fit_below": 0}
    config = CONFIG.model_copy(update={"episodes": asked, **faster})
    checkpoint = Checkpoint(tmp_path, "sha", config)
    split, protocol = split_users(dataset.events.n_users, 0), choose_protocol(dataset, (0, 8))
    learned = learn(dataset, split, protocol, config, checkpoint, QUIET)
    best = EpisodeOrder.CHRONOLOGICAL if asked is EpisodeOrder.AUTO else asked
    assert learned.config.episodes is best


@pytest.mark.parametrize("shots", ["", "0", "1,3", "0,3,1", "0,1,1", "0,x", "-1,0"])
def test_shots_that_make_no_sense_are_named(source: Path, shots: str) -> None:
    from model_store.commands.evaluate import evaluate

    ended = CliRunner().invoke(_command(evaluate), ["--data", str(source), "--shots", shots])
    assert ended.exit_code == 1
    assert ended.stderr == f"error: --shots {shots!r}: expected 0 and then increasing numbers, e.g. 0,1,3,5,10,20\n"


def _command(function):
    import typer

    app = typer.Typer()
    app.command()(function)
    return app
