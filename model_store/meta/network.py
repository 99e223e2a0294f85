"""The network that meta-training learns: item vectors, and the parts of the score."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.bundle import Support
from model_store.config import TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.meta.inner import Adaptation, AdaptationType, InnerLoop, Levels
from model_store.meta.items.encoder import ItemEncoder, feature_matrix, svd_start
from model_store.meta.items.popularity import log_popularity, recent_likes
from model_store.meta.parts import PARTS
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.part import Ingredients, LeaveOut, ListPart, NeighbourLists, Part, ScoringBatch, StatePart
from model_store.meta.statistics import count
from model_store.meta.supports import SupportBatch

MAX_LEVELS = 10

PartKind = TypeVar("PartKind", bound=Part)
AdaptationKind = TypeVar("AdaptationKind", bound=Adaptation)


class Network(nn.Module):
    """The whole model; ``forward`` scores the catalogue for a batch of users."""

    encoder: ItemEncoder

    def __init__(self, encoder: ItemEncoder, parts: Sequence[Part]) -> None:
        """Take the parts in the order in which their scores are added up."""
        super().__init__()
        self.encoder = encoder
        self._parts = nn.ModuleDict({part.name: part for part in parts})

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return self.encoder.n_items

    @property
    def parts(self) -> list[Part]:
        """The summands of the score, in order."""
        return [part for part in self._parts.values() if isinstance(part, Part)]

    @property
    def weighted_parts(self) -> list[Part]:
        """The parts with a weight that the calibration chooses."""
        return [part for part in self.parts if part.weights]

    @property
    def state_parts(self) -> list[StatePart]:
        """The parts that are inner products with the item vectors."""
        return [part for part in self.parts if isinstance(part, StatePart)]

    @property
    def list_parts(self) -> list[ListPart]:
        """The parts that vote by neighbour lists."""
        return [part for part in self.parts if isinstance(part, ListPart)]

    def part(self, kind: type[PartKind]) -> PartKind:
        """The part of this class.

        Raises:
            TypeError: the network has none.
        """
        for part in self.parts:
            if isinstance(part, kind):
                return part
        raise TypeError(f"the network's parts are {', '.join(self._parts)}; expected one of class {kind.__name__}")

    def adaptation(self, kind: type[AdaptationKind]) -> AdaptationKind:
        """The adaptation of the dense part, which its algorithm made as a ``kind``.

        Raises:
            TypeError: another algorithm made it.
        """
        adaptation = self.part(Dense).adaptation
        if not isinstance(adaptation, kind):
            raise TypeError(f"the network adapts by {type(adaptation).__name__}, expected {kind.__name__}")
        return adaptation

    def forward(self, support: Support, *, leave_out: LeaveOut | None = None, dropout: float = 0.0) -> Tensor:
        """Scores float32 (B, n_items).

        Args:
            support: the events to adapt from.
            leave_out: in training, the users' likes, which the counts must do without.
            dropout: share of adapted weights dropped.
        """
        return reduce(torch.add, self.scores_by_part(support, leave_out=leave_out, dropout=dropout).values())

    def scores_by_part(
        self, support: Support, *, leave_out: LeaveOut | None = None, dropout: float = 0.0
    ) -> dict[str, Tensor]:
        """The summands of the scores by the name of their part, each float32 (B, n_items); arguments as ``forward``."""
        vectors = self.encoder.vectors()
        # Padding changes no score, but gathering its neighbours would cost as much as those of events.
        longest = max(1, int(support.lengths.max(initial=0)))
        support, leave_out = support.narrowed(longest), leave_out and leave_out.narrowed(longest)
        supports = SupportBatch.of(support, vectors)
        batch = ScoringBatch(torch.from_numpy(support.rows), supports, vectors, leave_out, dropout)
        return {part.name: part.scores(batch) for part in self.parts}

    def neighbour_lists(self, items: NDArray[np.int64] | slice = slice(None)) -> NeighbourLists:
        """The lists of all list parts side by side, as a bundle holds them.

        ``items`` are the rows requested; those of a whole large catalogue are gigabytes.
        """
        rows, weights = zip(*(part.exported_lists(items) for part in self.list_parts), strict=True)
        return NeighbourLists(torch.cat(rows, dim=1), torch.cat(weights, dim=1))


def build(
    dataset: Dataset,
    training: Events,
    config: TrainingConfig,
    shots: tuple[int, ...],
    adaptation: AdaptationType = InnerLoop,
    parts: Sequence[type[Part]] = PARTS,
) -> Network:
    """A network at its starting point: SVD of the likes, neutral steps, a small scale for the votes.

    Args:
        dataset: for the catalogue, its features and the scale of values.
        training: events of the training users only.
        config: sizes and seed.
        shots: the k at which the parts' weights will be chosen.
        adaptation: makes the adaptation of the dense part.
        parts: the summands of the score.
    """
    liked_at_least = dataset.feedback.liked_at_least
    statistics = count(training, dataset.n_items, liked_at_least)
    prior, prior_of_new = log_popularity(recent_likes(training, dataset.n_items, liked_at_least, config.half_life))
    features = feature_matrix(dataset.features, use=config.content)
    encoder = ItemEncoder(svd_start(statistics, config.dim, config.seed), features, prior, prior_of_new)
    levels, event_weight = _levels(training, liked_at_least)
    ingredients = Ingredients(
        config=config,
        shots=shots,
        encoder=encoder,
        statistics=statistics,
        levels=levels,
        event_weight=event_weight,
        weighted_likes=training.weights is not None,
        liked_at_least=liked_at_least,
        n_attributes=len(dataset.attribute_names),
        adaptation=adaptation,
    )
    return assemble(ingredients, parts)


def assemble(ingredients: Ingredients, parts: Sequence[type[Part]] = PARTS) -> Network:
    """The network of ``parts``, each at its start."""
    return Network(ingredients.encoder, [part.build(ingredients) for part in parts])


def _levels(events: Events, liked_at_least: float) -> tuple[Levels, Tensor]:
    """Knots over the scale of values, and a first weight for each.

    The weight is 1 for a liked event and falls below. If event types differ in value, it is the event's own weight.
    """
    values = events.values
    distinct = np.unique(values)
    if len(distinct) > MAX_LEVELS:
        distinct = np.unique(np.quantile(values, np.linspace(0, 1, MAX_LEVELS)))
    if len(distinct) == 1:
        # In float32 a billion and one is a billion.
        distinct = np.array([distinct[0], distinct[0] + max(1.0, 1e-6 * abs(float(distinct[0])))])
    spread = max(float(distinct[-1] - distinct[0]), 1e-6)
    weight = np.where(distinct >= liked_at_least, 1.0, 0.3 - (liked_at_least - distinct) / spread)
    if events.weights is not None:
        by_value, first = np.unique(values, return_index=True)
        weight = np.interp(distinct, by_value, events.weights[first])
    return Levels(torch.from_numpy(distinct).float()), torch.from_numpy(weight).float()
