"""Ablations: what every part of the model is worth, and what drawing queries towards the long tail does.

A part of the score is left out of a trained network by zeroing its calibrated share; what shapes the training is left
out by training again. All variants are judged on the same users by the same tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.config import TrainingConfig
from model_store.data.episodes import Support
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.comparison import Judgements
from model_store.evaluation.figures import HEADLINE, MODEL
from model_store.evaluation.protocol import Recommender, Tasks, evaluate
from model_store.evaluation.recommenders import TrainingModel
from model_store.meta.inner import Share
from model_store.meta.network import Network

METRICS = (HEADLINE, "ndcg-tail@10", "coverage@10")
ENTROPIES = (0.25, 0.5)


@dataclass(frozen=True)
class WithoutAges:
    """A recommender that is not told when events were."""

    model: Recommender

    def score(self, support: Support) -> NDArray[np.float32]:
        """Float32 (B, n_items)."""
        return self.model.score(dataclasses.replace(support, ages=np.zeros_like(support.ages)))


class Variant(NamedTuple):
    """The model trained another way.

    Attributes:
        name: for the tables.
        config: how it is trained.
        ages: whether it is told when events were.
    """

    name: str
    config: TrainingConfig
    ages: bool = True


def take_apart(network: Network, tasks: Tasks, facts: ItemFacts, *, has_time: bool) -> Judgements:
    """Judge a trained and calibrated network as a whole, without each of its parts, and each part alone.

    Args:
        network: to be taken apart; it is whole again afterwards.
        tasks: of users that nothing was chosen by.
        facts: for coverage and the long tail.
        has_time: whether events have ages to leave out.

    Returns:
        Variant → k → judgement; "kshot" is the whole model.
    """
    model = TrainingModel(network)
    judgements: Judgements = {MODEL: evaluate(model, tasks, facts=facts)}
    parts = {"dense": network.inner.share, "votes": network.gate.share, "linear memory": network.linear.share}
    for name, left_out in _parts_left_out(parts):
        with _left_out(left_out):
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
    """Judge what shapes the training, by training without it.

    Args:
        config: of the whole model.
        retrain: trains and calibrates a variant.
        tasks: of users that nothing was chosen by.
        facts: for coverage and the long tail; their content says whether there is any to leave out.
        has_time: whether events have ages to leave out.
        on_variant: told each variant before it is trained.

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


def _parts_left_out(parts: dict[str, Share]) -> Iterator[tuple[str, list[Share]]]:
    """Each part of the score left out of the whole, then each alone beside the prior."""
    for name, share in parts.items():
        yield f"without {name}", [share]
    for name, share in parts.items():
        yield f"{name} alone", [other for other in parts.values() if other is not share]


@contextmanager
def _left_out(shares: list[Share]) -> Iterator[None]:
    kept = [share.at_knots.clone() for share in shares]
    for share in shares:
        share.at_knots.zero_()
    try:
        yield
    finally:
        for share, before in zip(shares, kept, strict=True):
            share.at_knots.copy_(before)
