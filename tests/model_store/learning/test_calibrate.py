"""Calibration: what misleads gets no share, what helps gets one, and chance decides nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import torch

from model_store.data.episodes import Support
from model_store.data.schema import Events, UserAttributes
from model_store.evaluation.protocol import KShot, Tasks
from model_store.learning.calibrate import Witness, calibrate
from model_store.meta.inner import Share
from model_store.meta.network import Parts
from model_store.meta.parts.ease import CoCounts

SHOTS = (0, 1, 3)
USERS, ITEMS, EVENTS = 40, 60, 6
BEST_REGULARISATION = 300.0
NO_COUNTS = CoCounts(np.zeros(0, np.int64), np.zeros((0, 0), np.float32), ITEMS)


def tasks(seed: int = 0, attributes: UserAttributes | None = None) -> Tasks:
    """Users who like three random items after their third event."""
    rng = np.random.default_rng(seed)
    picks = np.stack([rng.choice(ITEMS, EVENTS, replace=False) for _ in range(USERS)]).astype(np.int32)
    indptr = np.arange(USERS + 1) * EVENTS
    events = Events(indptr, picks.ravel(), np.ones(USERS * EVENTS, np.float32), np.zeros(USERS * EVENTS), attributes)
    queries, masked = list(picks[:, 3:]), list(picks[:, :3])
    return Tasks(KShot(SHOTS, EVENTS), events, np.arange(USERS), queries, masked, ITEMS)


class FakeMemory:
    """Remembers what it was last fitted with."""

    def __init__(self) -> None:
        self.share, self.regularisation = Share(SHOTS), None

    def remember(self, _counts: CoCounts, regularisation: float, _neighbours: int) -> None:
        self.regularisation = regularisation

    def forget(self) -> None:
        self.regularisation = None


class FakeNetwork:
    """Parts of a score that are known to be right or wrong about every user."""

    def __init__(self, asked: Tasks, *, dense: float, votes: float, linear: float) -> None:
        self.inner, self.gate = SimpleNamespace(share=Share(SHOTS)), SimpleNamespace(share=Share(SHOTS))
        self.linear = FakeMemory()
        self._asked, self._dense, self._votes, self._linear = asked, dense, votes, linear

    def eval(self) -> None: ...

    def parts(self, support: Support) -> Parts:
        liked = torch.zeros(len(support.rows), ITEMS)
        for row, query in enumerate(self._asked.queries[: len(support.rows)]):
            liked[row, query] = 1
        prior = torch.linspace(1, 0, ITEMS).expand_as(liked)
        helps = self._linear if self.linear.regularisation == BEST_REGULARISATION else 0
        return Parts(self._dense * liked, self._votes * liked, helps * liked, prior)


def shares(
    *, dense: float, votes: float, linear: float = 0, attributes: UserAttributes | None = None
) -> tuple[list[float], list[float], list[float], FakeNetwork, dict]:
    asked = tasks(attributes=attributes)
    network = FakeNetwork(asked, dense=dense, votes=votes, linear=linear)
    found = calibrate([Witness(network, asked, NO_COUNTS)], 10)
    taken = (part.share.at_knots.tolist() for part in (network.inner, network.gate, network.linear))
    return *taken, network, found


def test_a_part_that_misleads_gets_no_share() -> None:
    dense, votes, _, _, found = shares(dense=-5, votes=0.3)
    assert dense == [0, 0, 0]
    assert min(votes[1:]) > 1
    assert all(found["shots"][str(k)]["after"] > found["shots"][str(k)]["before"] for k in SHOTS[1:])


def test_parts_that_help_as_they_are_keep_their_share() -> None:
    dense, votes, linear, network, found = shares(dense=5, votes=5)
    assert dense == votes == [0, 1, 1]
    assert linear == [0, 0, 0]
    assert network.linear.regularisation is found["regularisation"] is None
    assert all(found["shots"][str(k)]["after"] == found["shots"][str(k)]["before"] for k in SHOTS[1:])


def test_parts_that_say_nothing_leave_popularity() -> None:
    dense, votes, linear, _, _ = shares(dense=0, votes=0)
    assert dense == votes == linear == [0, 0, 0]


def test_one_user_decides_nothing() -> None:
    everybody = tasks()
    one = replace(everybody, users=everybody.users[:1], queries=everybody.queries[:1], masked=everybody.masked[:1])
    network = FakeNetwork(one, dense=1, votes=0, linear=0)
    calibrate([Witness(network, one, NO_COUNTS)], 10)
    assert network.inner.share.at_knots.tolist() == network.gate.share.at_knots.tolist() == [0, 0, 0]


def test_a_linear_memory_that_helps_is_fitted_as_it_helps_best() -> None:
    _, _, linear, network, found = shares(dense=0, votes=0.01, linear=0.3)
    assert linear[0] == 0
    assert min(linear[1:]) > 0
    assert network.linear.regularisation == found["regularisation"] == BEST_REGULARISATION


KNOWN = UserAttributes(["member"], np.arange(USERS + 1), np.zeros(USERS, np.int64), np.ones(USERS, np.float32))


def test_where_attributes_are_known_the_start_counts_if_it_helps() -> None:
    dense, *_ = shares(dense=5, votes=0, attributes=KNOWN)
    assert dense[0] > 0


def test_where_attributes_are_known_but_mislead_it_is_popularity_before_the_first_event() -> None:
    dense, votes, *_ = shares(dense=-5, votes=0, attributes=KNOWN)
    assert (dense[0], votes[0]) == (0, 0)


def test_all_witnesses_have_a_say() -> None:
    """One alone is misled about its own few users; three others know better."""
    misled, asked = tasks(0), tasks(1)
    first = Witness(FakeNetwork(misled, dense=-0.3, votes=1, linear=0), misled, NO_COUNTS)
    others = [Witness(FakeNetwork(asked, dense=3, votes=0, linear=0), asked, NO_COUNTS) for _ in range(3)]
    found = calibrate([first, *others], 10)
    assert found["users"] == 4 * USERS
    assert min(first.network.inner.share.at_knots.tolist()[1:]) > 0
    assert calibrate([first], 10)["shots"]["1"]["dense"] == 0
