"""The protocol of a part: one summand of the score.

The score of an item is the sum of the parts in ``PARTS`` (see the package). All but the popularity prior have a weight
per number of events k, which the calibration chooses on validation users.

A part is exported in one of two forms, because the graphs of a bundle have these two:

``StatePart``   an inner product with the item vectors. Its state is a column block of ``user_state``, from
                ``adapt.onnx``; parts of the same columns are added up there.
``ListPart``    neighbour lists of the items. They are columns of ``neighbours.*``; ``vote.onnx`` turns the lists of a
                user's events into addends.

State parts share the item vectors of the encoder. A part with item vectors of its own would need more columns in the
catalogue and in ``encode_item.onnx``, which this protocol does not have.

To add a part: write a file here with a subclass and its ``build``, and add a line to ``PARTS``. Training, calibration,
ablations, report, export, parity and the load tests' made-up bundles iterate over the parts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.config import TrainingConfig
from model_store.meta.inner import AdaptationType, Levels
from model_store.meta.items.encoder import ItemEncoder
from model_store.meta.statistics import Statistics
from model_store.meta.supports import LEARNED, PRIOR, SupportBatch


class PartWeight(nn.Module):
    """The weight of one part of the score, by the number of events k; 1 everywhere until it is calibrated.

    It is not trained: the likelihood does not find the weights that rank best. The calibration chooses it by the
    ranking metric on validation users at a few k; between them it is linear in log(1 + k).
    """

    at_knots: Tensor

    def __init__(self, shots: tuple[int, ...]) -> None:
        """Take the k to choose at, at least two, increasing."""
        super().__init__()
        self.by_log_k = Levels(torch.tensor(shots, dtype=torch.float32).log1p())
        self.register_buffer("at_knots", torch.ones(len(shots)))

    def forward(self, log_k: Tensor) -> Tensor:
        """The weight at log(1 + k), in the shape of ``log_k``, (B, 1, N)."""
        weight: Tensor = self.by_log_k(log_k, self.at_knots)
        return weight


@dataclass(frozen=True)
class Ingredients:
    """Everything that parts are made from at the start of a training.

    Attributes:
        config: sizes and seed.
        shots: the k at which weights will be chosen.
        encoder: of the items.
        statistics: counts over the training users.
        levels: the scale of the feedback values.
        event_weight: float32 (n_levels,), first weight of an event of each level, 1 for a liked one.
        weighted_likes: whether event types give likes different weights, so that votes start in proportion to them.
        liked_at_least: value from which on an event is liked.
        n_attributes: attributes of users.
        adaptation: makes the adaptation of the dense part.
    """

    config: TrainingConfig
    shots: tuple[int, ...]
    encoder: ItemEncoder
    statistics: Statistics
    levels: Levels
    event_weight: Tensor
    weighted_likes: bool
    liked_at_least: float
    n_attributes: int
    adaptation: AdaptationType


class LeaveOut(NamedTuple):
    """The likes of a batch of training users, for parts that counted them.

    A part takes them out of its counts (leave one out); otherwise it looks better in training than it is.

    Attributes:
        liked: float32 (B, n_items), ones at the items that a user liked.
        support_liked: bool (B, S), which events of the supports are liked.
    """

    liked: Tensor
    support_liked: Tensor

    def narrowed(self, width: int) -> LeaveOut:
        """The first ``width`` positions of the supports."""
        return self._replace(support_liked=self.support_liked[:, :width])


@dataclass(frozen=True)
class ScoringBatch:
    """A batch of B users to score the catalogue for, in training.

    Attributes:
        rows: int64 (B, S), item rows of the supports' events; 0 for padding.
        supports: the events, their mask and the users' attributes.
        item_vectors: float32 (n_items, dim + 1), of the whole catalogue.
        leave_out: the users' own likes, if they took part in the counts; None for others.
        dropout: share of adapted weights dropped.
    """

    rows: Tensor
    supports: SupportBatch
    item_vectors: Tensor
    leave_out: LeaveOut | None = None
    dropout: float = 0.0


class Part(nn.Module, ABC):
    """A summand of the score.

    Attributes:
        name: key in results and reports.
        title: its name for readers.
        weights: the weights that the calibration tries at each k: among them 0 and, for a part that is trained, 1.
            Those of trained parts are tried in all combinations, so each weight more costs time. Empty for a part that
            always counts as it is.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    weights: ClassVar[tuple[float, ...]]

    def __init__(self, shots: tuple[int, ...]) -> None:
        """Take the k at which the weight will be chosen."""
        super().__init__()
        self._weight = PartWeight(shots) if self.weights else None

    @classmethod
    @abstractmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The part at the start of a training."""

    @abstractmethod
    def scores(self, batch: ScoringBatch) -> Tensor:
        """The part's summand of all scores, weighted, float32 (B, n_items)."""

    @property
    def weight(self) -> PartWeight:
        """The weight per k.

        Raises:
            TypeError: the part always counts as it is.
        """
        if self._weight is None:
            raise TypeError(f"part {self.name!r} has no weights to try, expected some of a part with a weight")
        return self._weight


class StatePart(Part):
    """A part that is an inner product of the item vectors with a state of the user.

    Attributes:
        columns: the columns of the item vectors, ``LEARNED`` or ``PRIOR``.
    """

    columns: ClassVar[slice]

    @abstractmethod
    def state(self, supports: SupportBatch) -> Tensor:
        """The state of each user, weighted, float32 (B, 1, n_columns)."""

    def scores(self, batch: ScoringBatch) -> Tensor:
        """The inner products with all item vectors."""
        state = nn.functional.dropout(self.state(batch.supports).squeeze(-2), batch.dropout)
        return state @ batch.item_vectors[:, self.columns].T


def user_state(parts: Sequence[StatePart], supports: SupportBatch) -> Tensor:
    """The state of each user, float32 (B, dim + 1): of the same columns, the states of all parts are added up."""
    blocks = [
        reduce(torch.add, (part.state(supports) for part in parts if part.columns == columns))
        for columns in (LEARNED, PRIOR)
    ]
    return torch.cat(blocks, dim=-1).squeeze(-2)


class VotingEvents(NamedTuple):
    """The events of a batch of B users in one run of E events, as ``vote.onnx`` gets them.

    Attributes:
        values: float32 (E,), feedback values.
        ages: float32 (E,), days before the user's most recent event.
        users: int64 (E,), the user of each event, 0 … B − 1; any event may stand for a user who has none.
        shots: float32 (B,), number of events of each user, k.
    """

    values: Tensor
    ages: Tensor
    users: Tensor
    shots: Tensor

    def shots_of_user(self) -> Tensor:
        """The number of events of each event's user, k, float32 (E,)."""
        return self.shots.index_select(0, self.users)


class NeighbourLists(NamedTuple):
    """Neighbour lists of N items.

    Attributes:
        rows: int64 (N, M), items that an item votes for; unused positions hold 0.
        weights: float32 (N, M), 0 at unused positions.
    """

    rows: Tensor
    weights: Tensor


class ListPart(Part):
    """A part whose events vote for the items in neighbour lists.

    Attributes:
        rows: int64 (n_items, M), as in ``NeighbourLists``.
        list_weights: float32 (n_items, M).
    """

    rows: Tensor
    list_weights: Tensor

    def __init__(self, shots: tuple[int, ...], lists: NeighbourLists) -> None:
        """Take the first lists."""
        super().__init__(shots)
        self.register_buffer("rows", lists.rows, persistent=False)
        self.register_buffer("list_weights", lists.weights, persistent=False)

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return self.rows.shape[0]

    @property
    def width(self) -> int:
        """Length of the lists, M."""
        return self.rows.shape[1]

    def replace_lists(self, lists: NeighbourLists) -> None:
        """Vote by other ``lists`` from now on."""
        self.rows, self.list_weights = lists

    def exported_lists(self, items: NDArray[np.int64] | slice) -> NeighbourLists:
        """The lists of some items as a bundle holds them."""
        return NeighbourLists(self.rows[items], self.list_weights[items])

    @abstractmethod
    def addends(self, lists: NeighbourLists, events: VotingEvents) -> Tensor:
        """The share of each event in the addend of each listed item, weighted, float32 (E, M).

        Args:
            lists: of the events' items, (E, M), as ``exported_lists`` gives them.
            events: the events that vote.
        """


class FittedPart(Part):
    """A part that no gradient trains; it is fitted to the training users' likes at the end of a training.

    It is empty during training and has no weight before the calibration, which also chooses its regularisation.

    Attributes:
        regularisations: those that the calibration tries.
    """

    regularisations: ClassVar[tuple[float, ...]]

    @abstractmethod
    def fitter(self, statistics: Statistics) -> Callable[[float], None]:
        """Prepare fitting the part to ``statistics``; the function returned fits it with one regularisation."""

    @abstractmethod
    def clear(self) -> None:
        """Make the part empty again."""
