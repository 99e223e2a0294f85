"""Judging the live bundle, on a world whose right answer is known."""

from __future__ import annotations

import json
from pathlib import Path

import made_up
import pytest
from rich.console import Console

from model_store.bundle import Registry
from model_store.config import JudgingConfig
from model_store.errors import DataError
from model_store.flows.judge_bundle import judge_live_bundle
from model_store.reports.results import KShotResults

QUIET = Console(quiet=True)
JUDGING = JudgingConfig(shots=(0, 1, 3, 5))


@pytest.fixture(scope="module")
def results(source: Path, trained_store: Path) -> KShotResults:
    """Results of ``kshot evaluate`` of the trained bundle."""
    return judge_live_bundle(str(source), trained_store, JUDGING, QUIET)


def test_every_model_has_every_metric_at_every_k(results: KShotResults) -> None:
    assert set(results.models) >= {"kshot", "popularity", "item-kNN", "EASE"}
    for by_shots in results.models.values():
        assert set(by_shots) == {0, 1, 3, 5}
        for figures in by_shots.values():
            assert set(figures) >= {"ndcg@10", "recall@20", "hr@10", "coverage@10"}


def test_a_few_events_are_enough_in_a_world_of_groups(results: KShotResults) -> None:
    """One event in four is disliked, so one event tells the group of three users in four, and five of nearly all."""
    ndcg = {
        name: {k: figures["ndcg@10"].mean for k, figures in by_shots.items()}
        for name, by_shots in results.models.items()
    }
    assert ndcg["kshot"][5] > 0.8
    assert ndcg["kshot"][1] > 0.5
    assert ndcg["popularity"][5] < 0.3
    assert ndcg["kshot"][0] == pytest.approx(ndcg["popularity"][0])


def test_the_difference_to_the_best_baseline_is_paired(results: KShotResults) -> None:
    best = results.best_baseline[3]
    gain = results.models["kshot"][3]["ndcg@10"].mean - results.models[best.name][3]["ndcg@10"].mean
    assert best.difference == pytest.approx(gain)
    assert best.interval[0] <= best.difference <= best.interval[1]


def test_the_published_figures_are_those_of_the_bundle(results: KShotResults, trained_store: Path) -> None:
    folder = Registry(trained_store).live_folder()
    report = KShotResults.read(folder / "report.json")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert report.models["kshot"] == results.models["kshot"]
    assert manifest["results"]["kshot"] == results.as_dict()["models"]["kshot"]
    assert report.ablations == results.ablations
    assert {"without votes", "votes alone", "without ages"} < set(report.ablations)
    assert "<html" in (folder / "report.html").read_text()


def test_a_bundle_is_judged_only_on_the_data_it_was_trained_on(trained_store: Path, tmp_path: Path) -> None:
    other = made_up.write_source(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match=r"evaluate it on the same data"):
        judge_live_bundle(str(other), trained_store, JudgingConfig(), QUIET)
