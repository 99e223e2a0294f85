"""Ablations: what is left out is out, what is put back is back, and every variant is trained as its name says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from model_store.baselines.popularity import Popularity
from model_store.config import TrainingConfig
from model_store.data.episodes import Support
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.evaluation.ablation import METRICS, Variant, WithoutAges, take_apart, train_otherwise
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.comparison import figures
from model_store.evaluation.protocol import KShot, Tasks, evaluate, make_tasks
from model_store.evaluation.recommenders import TrainingModel
from model_store.meta.network import Network, build, count
from model_store.reports import page as report
from model_store.reports.results import KShotResults
from model_store.reports.tables import ablation_tables

SHOTS = (0, 1, 3)
WITHOUT = ["without dense", "without votes", "without linear memory"]
ALONE = ["dense alone", "votes alone", "linear memory alone"]
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, half_life=50)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> Network:
    """Untrained: its SVD start and its votes say something already."""
    return build(dataset, dataset.events, CONFIG, SHOTS).eval()


@pytest.fixture(scope="module")
def tasks(dataset: Dataset) -> Tasks:
    return make_tasks(dataset, np.arange(60), KShot(SHOTS, 13))


@pytest.fixture(scope="module")
def facts(dataset: Dataset) -> ItemFacts:
    return ItemFacts.of(dataset.features, count(dataset.events, dataset.n_items, 4.0).liked)


@pytest.fixture(scope="module")
def asked_for() -> list[Variant]:
    return []


@pytest.fixture(scope="module")
def found(network: Network, tasks: Tasks, facts: ItemFacts, asked_for: list[Variant]) -> dict:
    def retrain(variant: Variant) -> Network:
        asked_for.append(variant)
        return network

    apart = take_apart(network, tasks, facts, has_time=True)
    return figures(apart | train_otherwise(CONFIG, retrain, tasks, facts, has_time=True))


def test_every_variant_is_judged_by_every_metric_at_every_k(found: dict) -> None:
    assert list(found)[:8] == ["kshot", *WITHOUT, *ALONE, "without ages"]
    assert all(name.startswith("trained ") for name in list(found)[8:])
    for by_shots in found.values():
        assert list(by_shots) == [0, 1, 3]
        assert all(set(METRICS) <= set(judged) for judged in by_shots.values())


def test_variants_are_trained_as_they_are_called(found: dict, asked_for: list[Variant]) -> None:
    changes = {
        each.name: ({key: value for key, value in each.config if getattr(CONFIG, key) != value}, each.ages)
        for each in asked_for
    }
    assert changes == {
        "trained without content": ({"content": False}, True),
        "trained with all likes alike": ({"half_life": None, "forgetting": False}, True),
        "trained without ages": ({}, False),
        "trained with entropy 0.25": ({"entropy": 0.25}, True),
        "trained with entropy 0.5": ({"entropy": 0.5}, True),
    }
    assert found["trained with entropy 0.5"] == found["kshot"]  # here the same network
    assert found["trained without ages"] == found["without ages"]


def test_without_a_part_the_other_one_is_left(network: Network, tasks: Tasks, found: dict) -> None:
    parts = network.parts(tasks.support(3, slice(0, 60)))

    class Left:
        def __init__(self, part: torch.Tensor) -> None:
            self._scores = (part + parts.prior).detach().numpy()

        def score(self, support: Support) -> np.ndarray:
            return self._scores[: len(support.rows)]

    for name, part in {"dense alone": parts.dense, "votes alone": parts.votes}.items():
        expected = evaluate(Left(part), tasks)[3].summary()["ndcg@10"].mean
        assert found[name][3]["ndcg@10"].mean == pytest.approx(expected)
        assert expected != pytest.approx(found["kshot"][3]["ndcg@10"].mean)


def test_the_network_is_whole_again_afterwards(network: Network, tasks: Tasks, found: dict) -> None:
    assert network.gate.share.at_knots.tolist() == network.inner.share.at_knots.tolist() == [1, 1, 1]
    again = evaluate(TrainingModel(network), tasks)[3].summary()["ndcg@10"]
    assert found["kshot"][3]["ndcg@10"] == again


def test_without_ages_all_events_are_of_today_and_nothing_else_changes() -> None:
    class Asked:
        def score(self, support: Support) -> np.ndarray:
            self.support = support
            return np.zeros((1, 1), np.float32)

    asked = Asked()
    given = Support(*(np.array([[each]]) for each in (7, 5.0, 30.0, 1.0, 0, 0.0)))
    WithoutAges(asked).score(given)
    assert (asked.support.ages == 0).all()
    assert (asked.support.rows, asked.support.values, asked.support.mask) == (given.rows, given.values, given.mask)


def test_what_a_data_set_does_not_have_is_not_left_out(network: Network, tasks: Tasks, dataset: Dataset) -> None:
    liked = count(dataset.events, dataset.n_items, 4.0).liked
    bare = ItemFacts(None, Popularity.fit(liked).log_popularity, np.ones(dataset.n_items, np.bool_))
    steered = CONFIG.model_copy(update={"entropy": 0.5, "half_life": None})
    apart = take_apart(network, tasks, bare, has_time=False)
    retrained = train_otherwise(steered, lambda _: network, tasks, bare, has_time=False)
    assert list(apart) == ["kshot", *WITHOUT, *ALONE]
    assert list(retrained) == ["trained with entropy 0.25"]


def test_the_report_and_the_terminal_show_them(found: dict) -> None:
    results = KShotResults(ablations=found)
    console = Console(width=80, file=io.StringIO())
    for table in ablation_tables(results):
        console.print(table)
    html = report.render(results)
    for written in (console.file.getvalue(), html):
        assert all(variant in written for variant in found)
        assert all(f"{judged['ndcg-tail@10'].mean:.4f}" in written for judged in found["without votes"].values())
    assert 'id="ablations"' in html
    assert list(ablation_tables(KShotResults())) == []
