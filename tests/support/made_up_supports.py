"""Made-up supports as float64 tensors, and adaptations with noise on all parameters."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from model_store.meta.backbones import BackboneSpec
from model_store.meta.backbones.identity import Identity
from model_store.meta.inner import Adaptation, AdaptationSpec, Levels
from model_store.meta.supports import EventBatch, SupportBatch

DIM = 4
SHOTS = (0, 1, 3, 5)
VALUES = (5.0, 1.0, 3.0, 5.0, 5.0)

Made = TypeVar("Made", bound=Adaptation)


def adaptation_spec() -> AdaptationSpec:
    """Specification for a scale of 1 to 5 and three attributes."""
    return AdaptationSpec(
        steps=3,
        anchors=torch.randn(6, DIM),
        levels=Levels(torch.tensor([1.0, 3.0, 5.0])),
        event_weight=torch.tensor([-0.5, 0.2, 1.0]),
        n_attributes=3,
        backbone=Identity(BackboneSpec(DIM, max_support=50)),
    )


def perturbed(kind: type[Made], seed: int = 0) -> Made:
    """An adaptation of this kind with noise on all its parameters."""
    torch.manual_seed(seed)
    module = kind(adaptation_spec())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.double()


def one_user(shots: int, seed: int = 1) -> SupportBatch:
    """A user with ``shots`` events and two attributes; without events, one padded position."""
    generator = torch.Generator().manual_seed(seed)
    width = max(shots, 1)
    events = EventBatch(
        vectors=torch.randn(1, width, DIM, generator=generator, dtype=torch.float64),
        prior=torch.randn(1, width, 1, generator=generator, dtype=torch.float64),
        values=torch.tensor([VALUES], dtype=torch.float64)[:, :width],
        ages=torch.rand(1, width, generator=generator, dtype=torch.float64) * 30,
    )
    mask = torch.full((1, width), float(shots > 0), dtype=torch.float64)
    return SupportBatch(events, mask, torch.tensor([[2, 0]]), torch.tensor([[0.6, -0.8]], dtype=torch.float64))


def without_attributes(supports: SupportBatch) -> SupportBatch:
    """The same events of users without attributes."""
    return SupportBatch(supports.events, supports.mask)


def user_start(adaptation: Adaptation) -> Tensor:
    """The start of the user of :func:`one_user`, (dim,)."""
    vectors = adaptation.attribute_vectors()
    return (adaptation.start + 0.6 * vectors[2] - 0.8 * vectors[0]).detach()


def padded(supports: SupportBatch, before: int = 0, after: int = 0) -> SupportBatch:
    """The supports with padded positions before and after the events, filled with numbers that must not matter."""

    def pad(columns: Tensor, value: float) -> Tensor:
        shape = list(columns.shape)
        parts = []
        for size in (before, after):
            shape[1] = size
            parts.append(columns.new_full(shape, value))
        return torch.cat([parts[0], columns, parts[1]], dim=1)

    events = EventBatch(*(pad(column, 7.0) for column in supports.events))
    return supports._replace(events=events, mask=pad(supports.mask, 0.0))


def batched(*users: SupportBatch) -> SupportBatch:
    """The users in one batch; all have equal numbers of positions and attributes."""
    events = EventBatch(*(torch.cat(columns) for columns in zip(*(user.events for user in users), strict=True)))
    masks, ids, weights = ([user[field] for user in users] for field in (1, 2, 3))
    return SupportBatch(events, torch.cat(masks), torch.cat(ids), torch.cat(weights))
