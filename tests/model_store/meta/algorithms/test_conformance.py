"""Every algorithm of the registry: invariances of its adaptation, and the way from training to a served list."""

from __future__ import annotations

import asyncio
from pathlib import Path

import made_up
import numpy as np
import onnx
import pytest
import torch
from made_up_supports import batched, one_user, padded, perturbed, user_start

from model_store.bundle import Registry, Support, UserSupport, exclusion, open_bundle
from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.meta.algorithms import ALGORITHMS, begin
from model_store.meta.algorithms.anil import MetaSgd
from model_store.meta.algorithms.maml import PlainDescent
from model_store.meta.algorithms.matching import Matching
from model_store.meta.inner import Adaptation
from model_store.meta.network import Network
from model_store.meta.outer import Progress, meta_train
from service.scoring.model import BundleModel

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=64, max_support=60)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def test_the_registry_holds_an_algorithm_of_every_name() -> None:
    assert set(ALGORITHMS) == set(AlgorithmName)


@pytest.mark.parametrize("name", AlgorithmName)
@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2)])
def test_padding_changes_nothing(name: AlgorithmName, before: int, after: int) -> None:
    module, supports = perturbed(ALGORITHMS[name].adaptation), one_user(3)
    torch.testing.assert_close(module(supports), module(padded(supports, before, after)))


@pytest.mark.parametrize("name", AlgorithmName)
def test_without_events_the_start_of_the_user_stays(name: AlgorithmName) -> None:
    module = perturbed(ALGORITHMS[name].adaptation)
    torch.testing.assert_close(module(one_user(0))[0, 0], user_start(module))


@pytest.mark.parametrize("name", AlgorithmName)
def test_a_user_alone_adapts_as_in_a_batch(name: AlgorithmName) -> None:
    module = perturbed(ALGORITHMS[name].adaptation)
    users = [one_user(4), padded(one_user(2, seed=2), after=2)]
    users[1] = users[1]._replace(attribute_weights=-2 * users[1].attribute_weights)
    alone = [module(user) for user in users]
    torch.testing.assert_close(torch.cat(alone), module(batched(*users)))
    assert (alone[0] - alone[1]).abs().max() > 0.01


@pytest.mark.parametrize("kind", [PlainDescent, MetaSgd, Matching])
def test_every_outer_gradient_matches_finite_differences(kind: type[Adaptation]) -> None:
    module, supports = perturbed(kind), one_user(4)
    names = [name for name, _ in module.named_parameters()]

    def weights(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (supports,))

    parameters = tuple(parameter.detach().clone().requires_grad_() for parameter in module.parameters())
    assert torch.autograd.gradcheck(weights, parameters)


def meta_trained(dataset: Dataset, name: AlgorithmName) -> Network:
    outer = begin(dataset, dataset.events, CONFIG.model_copy(update={"algorithm": name}), SHOTS)
    progress = Progress()
    meta_train(outer, dataset, dataset.events, lambda _: float(progress.epoch), CONFIG, progress=progress)
    return outer.network


@pytest.mark.parametrize("name", AlgorithmName)
def test_every_algorithm_trains_exports_and_is_served(dataset: Dataset, name: AlgorithmName, tmp_path: Path) -> None:
    config, registry = CONFIG.model_copy(update={"algorithm": name}), Registry(tmp_path)
    network = meta_trained(dataset, name)
    with write_draft(registry, dataset, network, config) as draft:
        draft.publish(registry, results={})
    bundle = open_bundle(registry.live_folder())  # recomputes the golden cases
    assert bundle.manifest.training["algorithm"] == name
    constants = onnx.load(registry.live_folder() / "adapt.onnx").graph.initializer
    assert all(dataset.events.n_users not in constant.dims for constant in constants)  # nothing of a training user
    model = BundleModel(bundle)
    liked = model.catalogue.ids.index("g3-1"), model.catalogue.ids.index("g3-2")
    two = UserSupport(np.array(liked), np.full(2, 5, np.float32), np.zeros(2, np.float32))
    state = asyncio.run(model.adapt(two, {}))
    expected = in_torch(network, liked)
    ranked, scores = asyncio.run(model.rank(state, two, exclusion(np.array(liked)), 10))
    np.testing.assert_allclose(scores, expected[ranked], rtol=1e-3, atol=1e-3)
    assert {made_up.group_of(model.catalogue.ids[row]) for row in ranked} == {3}
    # The adapted weights know the group without the memory, too.
    alone = np.argsort(-(model.catalogue.vectors[:, :-1] @ state[:-1]))[:10]
    assert {made_up.group_of(model.catalogue.ids[row]) for row in alone} == {3}


@torch.no_grad()
def in_torch(network: Network, liked: tuple[int, ...]) -> np.ndarray:
    columns = (np.full((1, len(liked)), column, np.float32) for column in (5, 0, 1))
    nothing = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)
    return network(Support(np.array([liked]), *columns, *nothing))[0].numpy()
