"""The popularity prior: the last column of the item vectors, scaled by the number of events."""

from __future__ import annotations

from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from model_store.meta.parts.part import Ingredients, ScoringBatch, StatePart
from model_store.meta.supports import PRIOR, SupportBatch


class Prior(StatePart):
    """score_i = s(k) · log popularity_i, with s(k) = exp of a parabola in log(1 + k), learned; it is never left out."""

    name: ClassVar[str] = "prior"
    title: ClassVar[str] = "popularity prior"
    weights: ClassVar[tuple[float, ...]] = ()
    columns: ClassVar[slice] = PRIOR

    def __init__(self, shots: tuple[int, ...]) -> None:
        super().__init__(shots)
        self.log_scale = nn.Parameter(torch.zeros(3))

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The prior with scale 1 at every k."""
        return cls(ingredients.shots)

    def state(self, supports: SupportBatch) -> Tensor:
        """s(k), float32 (B, 1, 1)."""
        log_k = supports.log_shots
        log_scale = self.log_scale[0] + log_k * (self.log_scale[1] + self.log_scale[2] * log_k)
        return log_scale.exp()

    def scores(self, batch: ScoringBatch) -> Tensor:
        """The scaled prior of all items; no part of it is dropped."""
        return self.state(batch.supports).squeeze(-2) * batch.item_vectors[:, -1]
