"""A new part is one class in the registry: it is trained, calibrated, ablated, reported, exported and served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model_store.bundle import Registry, UserSupport, exclusion, open_bundle
from model_store.config import TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.protocol import KShot, Tasks, make_tasks
from model_store.export import write_draft
from model_store.learning.calibrate import ChosenWeights, HeldOutCohort, calibrate
from model_store.learning.learn import Learned
from model_store.meta.algorithms import begin
from model_store.meta.network import Network
from model_store.meta.outer import Progress, meta_train
from model_store.meta.parts import PARTS
from model_store.meta.parts.part import (
    Ingredients,
    ListPart,
    NeighbourLists,
    Part,
    ScoringBatch,
    StatePart,
    VotingEvents,
)
from model_store.meta.parts.prior import Prior
from model_store.meta.statistics import count
from model_store.meta.supports import LEARNED, SupportBatch
from model_store.reports import page as report
from model_store.reports.outcomes import training_of
from model_store.reports.results import KShotResults
from model_store.studies.ablation import take_apart
from service.scoring.model import BundleModel

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=64, max_support=60)


class MeanItem(StatePart):
    """The mean vector of the events' items, times a learned scale."""

    name: ClassVar[str] = "mean"
    title: ClassVar[str] = "mean item"
    weights: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    columns: ClassVar[slice] = LEARNED

    def __init__(self, shots: tuple[int, ...]) -> None:
        super().__init__(shots)
        self.scale = nn.Parameter(torch.tensor(0.5))

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        return cls(ingredients.shots)

    def state(self, supports: SupportBatch) -> Tensor:
        mask = supports.mask.unsqueeze(-2)
        mean = mask @ supports.events.vectors / mask.sum(-1, keepdim=True).clamp(min=1)
        return self.weight(supports.log_shots) * self.scale * mean


class NextRow(ListPart):
    """Every event votes for the item of the next row, by a learned weight."""

    name: ClassVar[str] = "next"
    title: ClassVar[str] = "next row"
    weights: ClassVar[tuple[float, ...]] = (0.0, 1.0)

    def __init__(self, n_items: int, shots: tuple[int, ...]) -> None:
        rows = (torch.arange(n_items) + 1) % n_items
        super().__init__(shots, NeighbourLists(rows.unsqueeze(1), torch.ones(n_items, 1)))
        self.vote = nn.Parameter(torch.tensor(0.5))

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        return cls(ingredients.encoder.n_items, ingredients.shots)

    def scores(self, batch: ScoringBatch) -> Tensor:
        mask = batch.supports.mask
        weight = self.weight(batch.supports.log_shots).squeeze(-1)
        votes = torch.zeros(len(mask), self.n_items).scatter_add(1, self.rows[batch.rows].squeeze(-1), mask)
        return weight * self.vote * votes

    def addends(self, lists: NeighbourLists, events: VotingEvents) -> Tensor:
        shots = events.shots_of_user().unsqueeze(1)
        return self.weight(torch.log1p(shots).mT).mT * self.vote * shots.clamp(max=1) * lists.weights


WITH_NEW: tuple[type[Part], ...] = (*PARTS[:-1], MeanItem, NextRow, Prior)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def tasks(dataset: Dataset) -> Tasks:
    return make_tasks(dataset, np.arange(60), KShot(SHOTS, 13))


@pytest.fixture(scope="module")
def network(dataset: Dataset) -> Network:
    """Trained with the new parts."""
    outer = begin(dataset, dataset.events, CONFIG, SHOTS, WITH_NEW)
    progress = Progress()
    meta_train(outer, dataset, dataset.events, lambda _: float(progress.epoch), CONFIG, progress=progress)
    return outer.network


@pytest.fixture(scope="module")
def chosen(network: Network, dataset: Dataset, tasks: Tasks) -> ChosenWeights:
    """The calibration of the network; afterwards both new parts count half, so that they can be seen."""
    statistics = count(dataset.events, dataset.n_items, dataset.feedback.liked_at_least)
    weights = calibrate([HeldOutCohort(network, tasks, statistics)])
    for kind in (MeanItem, NextRow):
        network.part(kind).weight.at_knots.fill_(0.5)
    return weights


def test_it_is_trained(network: Network) -> None:
    assert network.part(MeanItem).scale.item() != 0.5
    assert network.part(NextRow).vote.item() != 0.5


def test_it_is_calibrated(chosen: ChosenWeights) -> None:
    for at_k in chosen.shots.values():
        assert list(at_k.weights) == ["dense", "votes", "linear", "mean", "next"]
        assert at_k.weights["next"] in NextRow.weights


def test_it_is_reported(network: Network, chosen: ChosenWeights) -> None:
    progress = Progress(epoch=1, history=[{"epoch": 1, "loss": 1.0, "validation": 0.5}], best_epoch=1)
    results = KShotResults(training=training_of(Learned(network, progress, chosen, {}, CONFIG)))
    html = report.render(results)
    assert "mean item" in html
    assert "next row" in html
    written = results.as_dict()["training"]["calibration"]
    assert written["parts"]["next"] == "next row"
    assert all(at_k["next"] in NextRow.weights for at_k in written["shots"].values())


def test_it_is_ablated(network: Network, chosen: ChosenWeights, dataset: Dataset, tasks: Tasks) -> None:
    liked = count(dataset.events, dataset.n_items, dataset.feedback.liked_at_least).liked
    judgements = take_apart(network, tasks, ItemFacts.of(dataset.features, liked), has_time=False)
    assert {"without mean item", "mean item alone", "without next row", "next row alone"} < set(judgements)


def test_it_is_exported_and_served(network: Network, chosen: ChosenWeights, dataset: Dataset, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with write_draft(registry, dataset, network, CONFIG) as draft:  # parity with torch
        draft.publish(registry, results={})
    model = BundleModel(open_bundle(registry.live_folder()))  # recomputes the golden cases
    rows = np.array([model.catalogue.ids.index("g3-1"), model.catalogue.ids.index("g3-2")])
    support = UserSupport(rows, np.full(2, 5, np.float32), np.zeros(2, np.float32))
    state = asyncio.run(model.adapt(support, {}))
    ranked, scores = asyncio.run(model.rank(state, support, exclusion(rows), 10))
    np.testing.assert_allclose(scores, in_torch(network, dataset, rows)[ranked], rtol=1e-3, atol=1e-3)


@torch.no_grad()
def in_torch(network: Network, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Scores of a user who liked ``rows``; the new parts take part in them."""
    packed = pack_support(dataset.events, [np.arange(len(rows))])
    support = replace(packed, rows=rows[None], values=np.full_like(packed.values, 5), ages=np.zeros_like(packed.ages))
    by_part = network.scores_by_part(support)
    assert by_part["mean"].any()
    assert by_part["next"].any()
    return sum(by_part.values())[0].numpy()
