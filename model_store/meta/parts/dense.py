"""The dense part: adapted weights times the learned columns of the item vectors."""

from __future__ import annotations

from typing import ClassVar, Self

from torch import Tensor

from model_store.meta.backbones import BackboneSpec, make_backbone
from model_store.meta.inner import Adaptation, AdaptationSpec
from model_store.meta.parts.part import Ingredients, StatePart
from model_store.meta.supports import LEARNED, SupportBatch


class Dense(StatePart):
    """score_i = weight(k) · w · x_i, with the weights w of an algorithm's adaptation."""

    name: ClassVar[str] = "dense"
    title: ClassVar[str] = "dense"
    weights: ClassVar[tuple[float, ...]] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    columns: ClassVar[slice] = LEARNED

    def __init__(self, adaptation: Adaptation, shots: tuple[int, ...]) -> None:
        super().__init__(shots)
        self.adaptation = adaptation

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The algorithm's adaptation at its start; the most popular items are the first anchors."""
        config, id_vectors = ingredients.config, ingredients.encoder.id_vectors.detach()
        popular = (-ingredients.statistics.counts).argsort(kind="stable")[: config.anchors].copy()
        spec = AdaptationSpec(
            steps=config.inner_steps,
            anchors=id_vectors[popular],
            levels=ingredients.levels,
            event_weight=ingredients.event_weight,
            n_attributes=ingredients.n_attributes,
            backbone=make_backbone(config.backbone, BackboneSpec(config.dim, config.max_support), config.seed),
        )
        return cls(ingredients.adaptation(spec), ingredients.shots)

    def state(self, supports: SupportBatch) -> Tensor:
        """weight(k) · w, float32 (B, 1, dim)."""
        state: Tensor = self.weight(supports.log_shots) * self.adaptation(supports)
        return state
