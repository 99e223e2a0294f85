"""Supports as tensors: the input of every adaptation, backbone and part.

B users are padded to S events each. ``mask`` says which positions hold an event; no result may depend on the padding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from model_store.bundle import Support

# Columns of the item vectors, and of ``user_state``, which the dense score of an item multiplies.
LEARNED, PRIOR = slice(None, -1), slice(-1, None)


class EventBatch(NamedTuple):
    """Events of B users, S positions each.

    Attributes:
        vectors: float32 (B, S, dim), the learned columns of the items' vectors.
        prior: float32 (B, S, 1), log popularity of the items.
        values: float32 (B, S), feedback values on the data's own scale.
        ages: float32 (B, S), days before the user's most recent event.
    """

    vectors: Tensor
    prior: Tensor
    values: Tensor
    ages: Tensor


class SupportBatch(NamedTuple):
    """Supports of B users.

    Attributes:
        events: the events and their padding.
        mask: float32 (B, S), 1 for an event and 0 for padding.
        attribute_ids: int64 (B, A), attributes of the users; None if the data has none.
        attribute_weights: float32 (B, A), 0 for padding.
    """

    events: EventBatch
    mask: Tensor
    attribute_ids: Tensor | None = None
    attribute_weights: Tensor | None = None

    @classmethod
    def of(cls, support: Support, item_vectors: Tensor) -> SupportBatch:
        """The tensors of ``support``; ``item_vectors`` are float32 (n_items, dim + 1)."""
        values, ages, mask = map(torch.from_numpy, (support.values, support.ages, support.mask))
        attributes = map(torch.from_numpy, (support.attribute_ids, support.attribute_weights))
        return cls.from_vectors(item_vectors[torch.from_numpy(support.rows)], values, ages, mask, *attributes)

    @classmethod
    def from_vectors(
        cls,
        vectors: Tensor,
        values: Tensor,
        ages: Tensor,
        mask: Tensor,
        attribute_ids: Tensor | None = None,
        attribute_weights: Tensor | None = None,
    ) -> SupportBatch:
        """The inputs of ``adapt.onnx``; ``vectors`` are float32 (B, S, dim + 1), learned columns and prior."""
        events = EventBatch(vectors[..., LEARNED], vectors[..., PRIOR], values, ages)
        return cls(events, mask, attribute_ids, attribute_weights)

    @property
    def log_shots(self) -> Tensor:
        """log(1 + k) of each user, float32 (B, 1, 1)."""
        return log_shots(self.mask)


def log_shots(mask: Tensor) -> Tensor:
    """log(1 + k) of each user, float32 (B, 1, 1), from ``mask`` (B, S)."""
    return torch.log1p(mask.unsqueeze(-2).sum(-1, keepdim=True))
