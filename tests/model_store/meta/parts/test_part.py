"""Every part of the registry keeps the protocol; weights per k scale what a part adds to the score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.config import TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.meta.network import Network, build
from model_store.meta.parts import PARTS
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.part import FittedPart, ListPart, Part, StatePart, user_state
from model_store.meta.parts.prior import Prior
from model_store.meta.statistics import count
from model_store.meta.supports import SupportBatch

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture
def network(dataset: Dataset) -> Network:
    """Fitted parts are fitted, so that every part adds something."""
    network = build(dataset, dataset.events, CONFIG, SHOTS).eval()
    statistics = count(dataset.events, dataset.n_items, dataset.feedback.liked_at_least)
    for part in network.parts:
        if isinstance(part, FittedPart):
            part.fitter(statistics)(part.regularisations[0])
    return network


def test_names_and_titles_are_distinct() -> None:
    assert len({part.name for part in PARTS}) == len({part.title for part in PARTS}) == len(PARTS)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_exported(part: type[Part]) -> None:
    assert issubclass(part, StatePart) != issubclass(part, ListPart)


@pytest.mark.parametrize("part", [part for part in PARTS if part.weights])
def test_the_weights_to_try_include_none_and_that_of_the_training(part: type[Part]) -> None:
    assert {0.0, 0.0 if issubclass(part, FittedPart) else 1.0} <= set(part.weights)


@pytest.mark.parametrize("part", PARTS)
def test_scores_follow_the_weight_between_the_knots(part: type[Part], dataset: Dataset, network: Network) -> None:
    def scores(shots: int) -> torch.Tensor:
        support = pack_support(dataset.events, [np.arange(shots)], np.array([0]))
        return network.scores_by_part(replace(support, values=np.full_like(support.values, 5)))[part.name]

    whole = {shots: scores(shots) for shots in (1, 2, 5)}
    assert all(summand.any() for summand in whole.values())
    if not part.weights:
        with pytest.raises(TypeError, match=f"{part.name!r} has no weights"):
            _ = network.part(part).weight
        return
    network.part(part).weight.at_knots.copy_(torch.tensor([0.0, 0.5, 0.25, 2.0]))
    between = 0.5 + (0.25 - 0.5) * np.log(3 / 2) / np.log(4 / 2)
    for shots, weight in {1: 0.5, 2: between, 5: 2.0}.items():
        torch.testing.assert_close(scores(shots), weight * whole[shots])


def test_the_scores_of_the_state_parts_are_inner_products_with_the_exported_state(
    dataset: Dataset, network: Network
) -> None:
    support = pack_support(dataset.events, [np.arange(3), np.arange(10, 12)], np.array([0, 1]))
    vectors = network.encoder.vectors()
    state = user_state(network.state_parts, SupportBatch.of(support, vectors))
    by_part = network.scores_by_part(support)
    torch.testing.assert_close(state @ vectors.T, by_part[Dense.name] + by_part[Prior.name])


def test_the_scores_are_the_sum_of_the_parts(dataset: Dataset, network: Network) -> None:
    support = pack_support(dataset.events, [np.arange(3), np.arange(10, 12)], np.array([0, 1]))
    torch.testing.assert_close(network(support), sum(network.scores_by_part(support).values()))


def test_a_part_that_a_network_does_not_have_is_named(network: Network) -> None:
    class Absent(Prior):
        name = "absent"

    with pytest.raises(TypeError, match="parts are dense, votes, linear, prior; expected one of class Absent"):
        network.part(Absent)


def test_padding_adds_nothing_to_any_part(dataset: Dataset, network: Network) -> None:
    """A user alone, and beside one with more events, and one without any."""
    positions = [np.arange(3), np.arange(10, 50), np.arange(0)]
    alone = network.scores_by_part(pack_support(dataset.events, positions[:1], np.array([0])))
    batch = network.scores_by_part(pack_support(dataset.events, positions, np.array([0, 1, 2])))
    empty = network.scores_by_part(pack_support(dataset.events, positions[2:], np.array([2])))
    for name in alone:
        torch.testing.assert_close(alone[name][0], batch[name][0])
        torch.testing.assert_close(empty[name][0], batch[name][2])
