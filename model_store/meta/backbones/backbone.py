"""The protocol of a backbone: events → one vector per event, from which an adaptation goes on.

A backbone stands between the item vectors and the inner loop. It may mix the events of one user, as a recurrent network
or an attention does; it may not mix users. ``adapt.onnx`` holds it, so the service needs no change for another one.

To add a backbone: write a file here, add a value to ``config.BackboneName`` and a line to ``BACKBONES``. The
conformance suite ``tests/model_store/meta/backbones`` then checks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from model_store.meta.supports import EventBatch


@dataclass(frozen=True)
class BackboneSpec:
    """Sizes that a backbone is made for.

    Attributes:
        dim: length of an event's vector.
        max_support: largest number of events of a user.
    """

    dim: int
    max_support: int


class Backbone(nn.Module, ABC):
    """A network from events to vectors.

    Attributes:
        order_matters: whether the vectors depend on the order of a user's events, beyond their ages.
    """

    order_matters: ClassVar[bool]

    def __init__(self, spec: BackboneSpec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def forward(self, events: EventBatch, mask: Tensor) -> Tensor:
        """One vector per event, float32 (B, S, dim).

        The vectors of a user's events may not depend on other users, on padding, or on the number of padded positions.
        The vectors at padded positions are not read.

        Args:
            events: each user's events from the oldest to the most recent.
            mask: float32 (B, S), 1 for an event and 0 for padding.
        """

    @abstractmethod
    def adapted_parameters(self) -> dict[str, nn.Parameter]:
        """The parameters, by their name in this module, that an inner loop may move per user; {} for none."""
