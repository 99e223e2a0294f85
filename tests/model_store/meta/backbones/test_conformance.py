"""Every backbone keeps the protocol; a made-up recurrent one does too, and those that break it are caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from model_store.bundle import Support, padded
from model_store.bundle.sessions import open_session
from model_store.config import BackboneName, TrainingConfig
from model_store.data.episodes import pack_support
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.export.torch_graphs import Adapt, export_adapt
from model_store.meta.backbones import BACKBONES, Backbone, BackboneSpec
from model_store.meta.network import Network, build
from model_store.meta.parts.dense import Dense
from model_store.meta.supports import EventBatch, SupportBatch

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_support=60)
COLUMNS = ("rows", "values", "ages", "mask")
SPEC = BackboneSpec(CONFIG.dim, CONFIG.max_support)


class RunningMean(Backbone):
    """Recurrent, in effect: mixes each event with the mean of the events up to it."""

    order_matters: ClassVar[bool] = True

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__(spec)
        self.mix = nn.Parameter(torch.full((spec.dim,), 0.5))

    def forward(self, events: EventBatch, mask: Tensor) -> Tensor:
        masked = events.vectors * mask.unsqueeze(-1)
        shots_so_far = mask.cumsum(-1).clamp(min=1).unsqueeze(-1)
        return self.mix * events.vectors + (1 - self.mix) * masked.cumsum(-2) / shots_so_far

    def adapted_parameters(self) -> dict[str, nn.Parameter]:
        return {"mix": self.mix}


class CountsPadding(RunningMean):
    """Divides by the number of positions instead of the number of events."""

    def forward(self, events: EventBatch, mask: Tensor) -> Tensor:
        return super().forward(events, mask) / mask.shape[-1]


class MixesUsers(RunningMean):
    """Subtracts the mean over all users of the batch."""

    def forward(self, events: EventBatch, mask: Tensor) -> Tensor:
        vectors = super().forward(events, mask)
        return vectors - vectors.mean(0, keepdim=True)


class DeniesOrder(RunningMean):
    """Declares that order does not matter, but it does."""

    order_matters: ClassVar[bool] = False


class AdaptsCopies(RunningMean):
    """Names a parameter that is not its own."""

    def adapted_parameters(self) -> dict[str, nn.Parameter]:
        return {"mix": nn.Parameter(torch.zeros(()))}


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def network_with(dataset: Dataset, kind: type[Backbone]) -> Network:
    """At its start, many parameters are zero and would hide a difference, so all are drawn."""
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    network.part(Dense).adaptation.backbone = kind(SPEC)
    generator = torch.Generator().manual_seed(0)
    for part in network.state_parts:
        for parameter in part.parameters():
            nn.init.normal_(parameter, std=0.5, generator=generator)
    return network.eval()


def supports_of(dataset: Dataset, lengths: list[int]) -> Support:
    """The first events of one user each, in one batch as training packs it."""
    starts = dataset.events.indptr[: len(lengths)]
    positions = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    return pack_support(dataset.events, positions, np.arange(len(lengths)))


def vectors_of_events(network: Network, support: Support) -> list[Tensor]:
    """The backbone's vectors of each user's events, without padding."""
    supports = SupportBatch.of(support, network.encoder.vectors().detach())
    with torch.no_grad():
        vectors = network.part(Dense).adaptation.backbone(supports.events, supports.mask)
    return [user[mask > 0] for user, mask in zip(vectors, supports.mask, strict=True)]


def check_that_padding_and_other_users_do_not_matter(dataset: Dataset, kind: type[Backbone]) -> None:
    network, lengths = network_with(dataset, kind), [3, 9, 1, 20]
    batch = vectors_of_events(network, supports_of(dataset, lengths))
    for user, length in enumerate(lengths):
        alone = vectors_of_events(network, supports_of(dataset, lengths[: user + 1]))[user]
        assert alone.shape == (length, CONFIG.dim)
        torch.testing.assert_close(alone, batch[user])


def check_that_order_matters_as_declared(dataset: Dataset, kind: type[Backbone]) -> None:
    """Reversed events have the reversed vectors if, and only if, order does not matter."""
    network, support = network_with(dataset, kind), supports_of(dataset, [9])
    turned = replace(support, **{name: getattr(support, name)[:, ::-1].copy() for name in COLUMNS})
    forwards, backwards = (vectors_of_events(network, events)[0] for events in (support, turned))
    same = torch.allclose(forwards, backwards.flip(0), atol=1e-5)
    assert same != network.part(Dense).adaptation.backbone.order_matters


def check_the_adapted_parameters(kind: type[Backbone]) -> None:
    backbone = kind(SPEC)
    parameters = dict(backbone.named_parameters())
    assert all(parameters.get(name) is parameter for name, parameter in backbone.adapted_parameters().items())


ALL = [*BACKBONES.values(), RunningMean]


def test_the_registry_holds_a_backbone_of_every_name() -> None:
    assert set(BACKBONES) == set(BackboneName)


@pytest.mark.parametrize("kind", ALL)
def test_neither_padding_nor_other_users_matter(dataset: Dataset, kind: type[Backbone]) -> None:
    check_that_padding_and_other_users_do_not_matter(dataset, kind)


@pytest.mark.parametrize("kind", [CountsPadding, MixesUsers])
def test_a_backbone_to_which_they_matter_is_caught(dataset: Dataset, kind: type[Backbone]) -> None:
    with pytest.raises(AssertionError):
        check_that_padding_and_other_users_do_not_matter(dataset, kind)


@pytest.mark.parametrize("kind", ALL)
def test_order_matters_as_declared(dataset: Dataset, kind: type[Backbone]) -> None:
    check_that_order_matters_as_declared(dataset, kind)


def test_a_false_declaration_is_caught(dataset: Dataset) -> None:
    with pytest.raises(AssertionError):
        check_that_order_matters_as_declared(dataset, DeniesOrder)


@pytest.mark.parametrize("kind", ALL)
def test_adapted_parameters_are_parameters_of_the_backbone(kind: type[Backbone]) -> None:
    check_the_adapted_parameters(kind)


def test_foreign_parameters_are_caught() -> None:
    with pytest.raises(AssertionError):
        check_the_adapted_parameters(AdaptsCopies)


@pytest.mark.parametrize("kind", ALL)
def test_a_user_without_events_stays_at_the_start(dataset: Dataset, kind: type[Backbone]) -> None:
    network = network_with(dataset, kind)
    supports = SupportBatch.of(supports_of(dataset, [0, 5]), network.encoder.vectors())
    adaptation = network.part(Dense).adaptation
    torch.testing.assert_close(adaptation(supports)[0], adaptation.user_start(supports)[0])


@pytest.mark.parametrize("kind", ALL)
def test_the_exported_graph_gives_the_states_of_torch_with_the_same_bits_in_any_batch(
    dataset: Dataset, kind: type[Backbone], tmp_path: Path
) -> None:
    network, lengths = network_with(dataset, kind), [0, 1, 7, 20, 2]
    export_adapt(tmp_path / "adapt.onnx", network, has_attributes=False)
    session = open_session(tmp_path / "adapt.onnx")
    support, vectors = supports_of(dataset, lengths), network.encoder.vectors().detach().numpy()
    users = []
    for user, mask in enumerate(support.mask):
        positions = mask.argsort(kind="stable")[-max(1, int(mask.sum())) :]  # its events, or one padded position
        users.append({name: getattr(support, name)[user, positions] for name in COLUMNS})

    def states(*users: dict[str, np.ndarray]) -> np.ndarray:
        columns = {name: padded([user[name] for user in users], getattr(support, name).dtype.type) for name in COLUMNS}
        columns["vectors"] = vectors[columns.pop("rows")]
        return session.run(["user_state"], columns)[0]

    alone = np.concatenate([states(user) for user in users])
    np.testing.assert_array_equal(states(*users), alone)
    np.testing.assert_array_equal(states(*users[::-1])[::-1], alone)
    columns = {name: torch.from_numpy(getattr(support, name)) for name in COLUMNS}
    item_vectors = torch.from_numpy(vectors)[columns.pop("rows")]
    with torch.no_grad():
        expected = Adapt(network)(item_vectors, **columns)
    np.testing.assert_allclose(alone, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert len(np.unique(alone, axis=0)) == len(lengths)


def test_a_backbone_is_trained_with_the_network(dataset: Dataset) -> None:
    network = network_with(dataset, RunningMean)
    network(supports_of(dataset, [3, 4])).sum().backward()
    backbone = network.part(Dense).adaptation.backbone
    assert isinstance(backbone, RunningMean)
    assert backbone.mix.grad is not None
    assert backbone.mix.grad.any()
