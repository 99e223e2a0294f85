"""The plain backbone: the vector of an event is that of its item."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from model_store.meta.backbones.backbone import Backbone
from model_store.meta.supports import EventBatch


class Identity(Backbone):
    """Item vectors as they are."""

    order_matters: ClassVar[bool] = False

    def forward(self, events: EventBatch, mask: Tensor) -> Tensor:  # noqa: ARG002 - padding is the adaptation's to mask
        """The items' vectors, float32 (B, S, dim)."""
        return events.vectors

    def adapted_parameters(self) -> dict[str, nn.Parameter]:
        """None: the identity has no parameters."""
        return {}
