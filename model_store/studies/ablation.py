"""Ablations: the worth of every part of the model, and of the choices in its training.

A part of the score is left out of a trained network by zeroing its calibrated weight. Choices in the training are
judged by training again without them. All variants are judged on the same users by the same tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Support
from model_store.config import TrainingConfig
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.comparison import Judgements
from model_store.evaluation.figures import MODEL
from model_store.evaluation.protocol import Recommender, Tasks, evaluate
from model_store.evaluation.recommenders import TrainingModel
from model_store.meta.network import Network
from model_store.meta.parts.part import Part

ENTROPIES = (0.25, 0.5)


@dataclass(frozen=True)
class WithoutAges:
    """A recommender without the ages of events."""

    model: Recommender

    def score(self, support: Support) -> NDArray[np.float32]:
        """Float32 (B, n_items)."""
        return self.model.score(dataclasses.replace(support, ages=np.zeros_like(support.ages)))


class Variant(NamedTuple):
    """The model, trained in another way.

    Attributes:
        name: for the tables.
        config: settings of its training.
        ages: whether it gets the ages of events.
    """

    name: str
    config: TrainingConfig
    ages: bool = True


def take_apart(network: Network, tasks: Tasks, facts: ItemFacts, *, has_time: bool) -> Judgements:
    """Judge a trained and calibrated network as a whole, without each of its parts, and each part alone.

    Args:
        network: trained and calibrated; unchanged afterwards.
        tasks: of test users, not used for any choice.
        facts: for coverage and the long tail.
        has_time: whether events have ages to leave out.

    Returns:
        Variant → k → judgement; "kshot" is the whole model.
    """
    model = TrainingModel(network)
    judgements: Judgements = {MODEL: evaluate(model, tasks, facts=facts)}
    for name, omitted in _omissions(network.weighted_parts):
        with _without(omitted):
            judgements[name] = evaluate(model, tasks, facts=facts)
    if has_time:
        judgements["without ages"] = evaluate(WithoutAges(model), tasks, facts=facts)
    return judgements


def train_otherwise(
    config: TrainingConfig,
    retrain: Callable[[Variant], Network],
    tasks: Tasks,
    facts: ItemFacts,
    *,
    has_time: bool,
    on_variant: Callable[[str], None] = lambda _: None,
) -> Judgements:
    """Judge choices in the training, by training again without each.

    Args:
        config: of the whole model.
        retrain: trains and calibrates a variant.
        tasks: of test users, not used for any choice.
        facts: for coverage and the long tail; content is left out if the items have any.
        has_time: whether events have ages to leave out.
        on_variant: gets the name of each variant before its training.

    Returns:
        Variant → k → judgement.
    """
    judgements: Judgements = {}
    for variant in _variants(config, has_content=facts.features is not None, has_time=has_time):
        on_variant(variant.name)
        model = TrainingModel(retrain(variant))
        judgements[variant.name] = evaluate(model if variant.ages else WithoutAges(model), tasks, facts=facts)
    return judgements


def _variants(config: TrainingConfig, *, has_content: bool, has_time: bool) -> Iterator[Variant]:
    if config.content and has_content:
        yield Variant("trained without content", config.model_copy(update={"content": False}))
    if config.half_life is not None:
        changed = config.model_copy(update={"forgetting": False, "half_life": None})
        yield Variant("trained with all likes alike", changed)
    if has_time:
        yield Variant("trained without ages", config, ages=False)
    for entropy in ENTROPIES:
        if entropy != config.entropy:
            yield Variant(f"trained with entropy {entropy:g}", config.model_copy(update={"entropy": entropy}))


def _omissions(parts: list[Part]) -> Iterator[tuple[str, list[Part]]]:
    """Each part left out of the whole, then each alone beside the prior: a name, and the parts without a weight."""
    for part in parts:
        yield f"without {part.title}", [part]
    for part in parts:
        yield f"{part.title} alone", [omitted for omitted in parts if omitted is not part]


@contextmanager
def _without(parts: list[Part]) -> Iterator[None]:
    weights = [part.weight.at_knots for part in parts]
    before = [at_knots.clone() for at_knots in weights]
    for at_knots in weights:
        at_knots.zero_()
    try:
        yield
    finally:
        for at_knots, calibrated in zip(weights, before, strict=True):
            at_knots.copy_(calibrated)
