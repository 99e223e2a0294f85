"""Ablations: a part that is left out adds nothing, and every variant is trained as its name says."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from model_store.baselines.popularity import Popularity
from model_store.bundle import Support
from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.comparison import figures
from model_store.evaluation.protocol import KShot, Tasks, evaluate, make_tasks
from model_store.evaluation.recommenders import TrainingModel
from model_store.meta.network import Network, build
from model_store.meta.statistics import count
from model_store.reports import page as report
from model_store.reports.results import KShotResults
from model_store.reports.tables import ABLATION_METRICS, ablation_tables
from model_store.studies.ablation import Variant, WithoutAges, take_apart, train_otherwise

SHOTS = (0, 1, 3)
WITHOUT = ["without dense", "without votes", "without linear memory"]
ALONE = ["dense alone", "votes alone", "linear memory alone"]
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, half_life=50)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> Network:
    """Untrained: its SVD start and its votes rank already."""
    return build(dataset, dataset.events, CONFIG, SHOTS).eval()


@pytest.fixture(scope="module")
def tasks(dataset: Dataset) -> Tasks:
    return make_tasks(dataset, np.arange(60), KShot(SHOTS, 13))


@pytest.fixture(scope="module")
def facts(dataset: Dataset) -> ItemFacts:
    return ItemFacts.of(dataset.features, count(dataset.events, dataset.n_items, 4.0).liked)


@pytest.fixture(scope="module")
def variants() -> list[Variant]:
    return []


@pytest.fixture(scope="module")
def ablations(network: Network, tasks: Tasks, facts: ItemFacts, variants: list[Variant]) -> dict:
    def retrain(variant: Variant) -> Network:
        variants.append(variant)
        return network

    apart = take_apart(network, tasks, facts, has_time=True)
    return figures(apart | train_otherwise(CONFIG, retrain, tasks, facts, has_time=True))


def test_every_variant_is_judged_by_every_metric_at_every_k(ablations: dict) -> None:
    assert list(ablations)[:8] == ["kshot", *WITHOUT, *ALONE, "without ages"]
    assert all(name.startswith("trained ") for name in list(ablations)[8:])
    for by_shots in ablations.values():
        assert list(by_shots) == [0, 1, 3]
        assert all(set(ABLATION_METRICS) <= set(judged) for judged in by_shots.values())


def test_variants_are_trained_as_they_are_named(ablations: dict, variants: list[Variant]) -> None:
    changes = {
        variant.name: ({key: value for key, value in variant.config if getattr(CONFIG, key) != value}, variant.ages)
        for variant in variants
    }
    assert changes == {
        "trained without content": ({"content": False}, True),
        "trained with all likes alike": ({"half_life": None, "forgetting": False}, True),
        "trained without ages": ({}, False),
        "trained with entropy 0.25": ({"entropy": 0.25}, True),
        "trained with entropy 0.5": ({"entropy": 0.5}, True),
    }
    assert ablations["trained with entropy 0.5"] == ablations["kshot"]  # here the same network
    assert ablations["trained without ages"] == ablations["without ages"]


def test_a_part_alone_ranks_beside_the_prior(network: Network, tasks: Tasks, ablations: dict) -> None:
    by_part = network.scores_by_part(tasks.support(3, slice(0, 60)))

    class Alone:
        def __init__(self, part: torch.Tensor) -> None:
            self._scores = (part + by_part["prior"]).detach().numpy()

        def score(self, support: Support) -> np.ndarray:
            return self._scores[: len(support.rows)]

    for name, part in {"dense alone": by_part["dense"], "votes alone": by_part["votes"]}.items():
        expected = evaluate(Alone(part), tasks)[3].summary()["ndcg@10"].mean
        assert ablations[name][3]["ndcg@10"].mean == pytest.approx(expected)
        assert expected != pytest.approx(ablations["kshot"][3]["ndcg@10"].mean)


def test_the_network_is_unchanged_afterwards(network: Network, tasks: Tasks, ablations: dict) -> None:
    assert [part.weight.at_knots.tolist() for part in network.weighted_parts] == [[1, 1, 1]] * 3
    again = evaluate(TrainingModel(network), tasks)[3].summary()["ndcg@10"]
    assert ablations["kshot"][3]["ndcg@10"] == again


def test_without_ages_all_events_are_of_today_and_nothing_else_changes(tasks: Tasks) -> None:
    class Recording:
        def score(self, support: Support) -> np.ndarray:
            self.support = support
            return np.zeros((1, 1), np.float32)

    model, support = Recording(), tasks.support(3, slice(0, 2))
    support = replace(support, ages=support.ages + 1)
    WithoutAges(model).score(support)
    assert not model.support.ages.any()
    for name in ("rows", "values", "mask", "attribute_ids", "attribute_weights"):
        assert getattr(model.support, name) is getattr(support, name)


def test_properties_that_the_data_lacks_are_not_ablated(network: Network, tasks: Tasks, dataset: Dataset) -> None:
    liked = count(dataset.events, dataset.n_items, 4.0).liked
    bare = ItemFacts(None, Popularity.fit(liked).log_popularity, np.ones(dataset.n_items, np.bool_))
    steered = CONFIG.model_copy(update={"entropy": 0.5, "half_life": None})
    apart = take_apart(network, tasks, bare, has_time=False)
    retrained = train_otherwise(steered, lambda _: network, tasks, bare, has_time=False)
    assert list(apart) == ["kshot", *WITHOUT, *ALONE]
    assert list(retrained) == ["trained with entropy 0.25"]


def test_the_report_and_the_terminal_show_the_variants(ablations: dict) -> None:
    results = KShotResults(ablations=ablations)
    console = Console(width=80, file=io.StringIO())
    for table in ablation_tables(results):
        console.print(table)
    html = report.render(results)
    for text in (console.file.getvalue(), html):
        assert all(variant in text for variant in ablations)
        assert all(f"{judged['ndcg-tail@10'].mean:.4f}" in text for judged in ablations["without votes"].values())
    assert 'id="ablations"' in html
    assert list(ablation_tables(KShotResults())) == []
