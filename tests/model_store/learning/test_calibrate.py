"""Calibration: a part that misleads gets no weight, one that helps gets some, and chance decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from model_store.bundle import Support
from model_store.data.schema import Events, UserAttributes
from model_store.evaluation.protocol import KShot, Tasks
from model_store.learning.calibrate import ChosenWeights, HeldOutCohort, calibrate
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.ease import EaseMemory
from model_store.meta.parts.part import FittedPart, Ingredients, Part, ScoringBatch
from model_store.meta.parts.votes import Votes
from model_store.meta.statistics import Statistics

SHOTS = (0, 1, 3)
USERS, ITEMS, EVENTS = 40, 60, 6
BEST_REGULARISATION = 300.0
NOTHING_COUNTED = Statistics(sp.csr_array((0, ITEMS)), np.zeros(ITEMS))


def make_tasks(seed: int = 0, attributes: UserAttributes | None = None) -> Tasks:
    """Users who like three random items after their third event."""
    rng = np.random.default_rng(seed)
    picks = np.stack([rng.choice(ITEMS, EVENTS, replace=False) for _ in range(USERS)]).astype(np.int32)
    indptr = np.arange(USERS + 1) * EVENTS
    events = Events(indptr, picks.ravel(), np.ones(USERS * EVENTS, np.float32), np.zeros(USERS * EVENTS), attributes)
    queries, masked = list(picks[:, 3:]), list(picks[:, :3])
    return Tasks(KShot(SHOTS, EVENTS), events, np.arange(USERS), queries, masked, ITEMS)


class FakePart(Part):
    """A part that is right or wrong about every user, by as much as it helps."""

    helps: float

    def __init__(self, helps: float) -> None:
        super().__init__(SHOTS)
        self.helps = helps

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        raise NotImplementedError

    def scores(self, batch: ScoringBatch) -> Tensor:
        raise NotImplementedError

    def now_helps(self) -> float:
        return self.helps


class FakeDense(FakePart):
    name: ClassVar[str] = Dense.name
    title: ClassVar[str] = Dense.title
    weights: ClassVar[tuple[float, ...]] = Dense.weights


class FakeVotes(FakePart):
    name: ClassVar[str] = Votes.name
    title: ClassVar[str] = Votes.title
    weights: ClassVar[tuple[float, ...]] = Votes.weights


class FakeMemory(FakePart, FittedPart):
    """Helps only as fitted best; remembers its last fit."""

    name: ClassVar[str] = EaseMemory.name
    title: ClassVar[str] = EaseMemory.title
    weights: ClassVar[tuple[float, ...]] = EaseMemory.weights
    regularisations: ClassVar[tuple[float, ...]] = EaseMemory.regularisations
    regularisation: float | None = None

    def fitter(self, statistics: Statistics) -> Callable[[float], None]:
        assert statistics is NOTHING_COUNTED
        return lambda regularisation: setattr(self, "regularisation", regularisation)

    def clear(self) -> None:
        self.regularisation = None

    def now_helps(self) -> float:
        return self.helps if self.regularisation == BEST_REGULARISATION else 0


class FakeNetwork:
    """Scores of its parts about the users of ``tasks``, beside a prior."""

    def __init__(self, tasks: Tasks, *, dense: float, votes: float, linear: float = 0) -> None:
        self.weighted_parts = [FakeDense(dense), FakeVotes(votes), FakeMemory(linear)]
        self._tasks = tasks

    def eval(self) -> None: ...

    def part(self, kind: type[Part]) -> Part:
        return next(part for part in self.weighted_parts if isinstance(part, kind))

    def scores_by_part(self, support: Support) -> dict[str, Tensor]:
        liked = torch.zeros(len(support.rows), ITEMS)
        for row, query in enumerate(self._tasks.queries[: len(support.rows)]):
            liked[row, query] = 1
        prior = torch.linspace(1, 0, ITEMS).expand_as(liked)
        return {part.name: part.now_helps() * liked for part in self.weighted_parts} | {"prior": prior}

    def chosen(self) -> list[list[float]]:
        """The weights of each part at the k of the protocol."""
        return [part.weight.at_knots.tolist() for part in self.weighted_parts]


class Calibrated(NamedTuple):
    dense: list[float]
    votes: list[float]
    linear: list[float]
    regularisation: float | None
    calibration: ChosenWeights


def calibrated(
    *, dense: float, votes: float, linear: float = 0, attributes: UserAttributes | None = None
) -> Calibrated:
    tasks = make_tasks(attributes=attributes)
    network = FakeNetwork(tasks, dense=dense, votes=votes, linear=linear)
    calibration = calibrate([HeldOutCohort(network, tasks, NOTHING_COUNTED)])
    return Calibrated(*network.chosen(), network.part(FakeMemory).regularisation, calibration)


def test_a_part_that_misleads_gets_no_weight() -> None:
    chosen = calibrated(dense=-5, votes=0.3)
    assert chosen.dense == [0, 0, 0]
    assert min(chosen.votes[1:]) > 1
    assert list(chosen.calibration.shots) == [1, 3]
    assert all(at_k.after > at_k.before for at_k in chosen.calibration.shots.values())


def test_parts_that_help_as_they_are_keep_their_weight() -> None:
    chosen = calibrated(dense=5, votes=5)
    assert chosen.dense == chosen.votes == [0, 1, 1]
    assert chosen.linear == [0, 0, 0]
    assert chosen.regularisation is None
    assert chosen.calibration.regularisations == {}
    assert all(at_k.after == at_k.before for at_k in chosen.calibration.shots.values())


def test_parts_that_say_nothing_leave_popularity() -> None:
    chosen = calibrated(dense=0, votes=0)
    assert chosen.dense == chosen.votes == chosen.linear == [0, 0, 0]


def test_one_user_decides_nothing() -> None:
    tasks = make_tasks()
    one = replace(tasks, users=tasks.users[:1], queries=tasks.queries[:1], masked=tasks.masked[:1])
    network = FakeNetwork(one, dense=1, votes=0)
    calibrate([HeldOutCohort(network, one, NOTHING_COUNTED)])
    assert network.chosen() == [[0, 0, 0]] * 3


def test_a_linear_memory_that_helps_is_fitted_as_it_helps_best() -> None:
    chosen = calibrated(dense=0, votes=0.01, linear=0.3)
    assert chosen.linear[0] == 0
    assert min(chosen.linear[1:]) > 0
    assert chosen.regularisation == BEST_REGULARISATION
    assert chosen.calibration.regularisations == {"linear": BEST_REGULARISATION}
    assert chosen.calibration.titles == {"dense": "dense", "votes": "votes", "linear": "linear memory"}


ATTRIBUTES = UserAttributes(["member"], np.arange(USERS + 1), np.zeros(USERS, np.int64), np.ones(USERS, np.float32))


def test_with_attributes_the_start_counts_if_it_helps() -> None:
    assert calibrated(dense=5, votes=0, attributes=ATTRIBUTES).dense[0] > 0


def test_with_attributes_that_mislead_the_first_list_is_popularity() -> None:
    chosen = calibrated(dense=-5, votes=0, attributes=ATTRIBUTES)
    assert (chosen.dense[0], chosen.votes[0]) == (0, 0)


def test_the_users_of_all_cohorts_count() -> None:
    """One network misleads its own few users; three others help theirs."""
    few, many = make_tasks(0), make_tasks(1)
    first = HeldOutCohort(FakeNetwork(few, dense=-0.3, votes=1), few, NOTHING_COUNTED)
    rest = [HeldOutCohort(FakeNetwork(many, dense=3, votes=0), many, NOTHING_COUNTED) for _ in range(3)]
    calibration = calibrate([first, *rest])
    assert calibration.users == 4 * USERS
    assert min(first.network.chosen()[0][1:]) > 0
    assert calibrate([first]).shots[1].weights["dense"] == 0
