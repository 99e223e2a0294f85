"""The runtime of a bundle: the one recipe that adapts to users and ranks the catalogue for them.

    user_state = adapt.onnx(item vectors, values and ages of the events; attributes)
    votes      = vote.onnx(neighbour lists, values and ages of the events; k)
    list       = score.onnx(user_state, votes + biases), only allowed rows

Service, evaluation, index tuning, parity checks and load tests call it, so a report describes the model that serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.allowed import AllowedRows
from model_store.bundle.items import Catalogue
from model_store.bundle.sessions import Addends, Graphs
from model_store.bundle.support import Support, UserSupport

# Users per run of score.onnx, which reads the catalogue once for all of them. More gain nothing, because their scores
# leave the processor's caches.
MAX_RANKED = 8
MAX_SCORES = 4_000_000
# Users per run of adapt.onnx: one alone costs six times as much as one of sixteen; more gain little.
MAX_ADAPTED = 16
# Largest mask, as a share of the catalogue, whose rows are gathered and scored in float32 instead of scanned.
MAX_GATHERED = 1 / 4
EXCLUDED = np.float32(-np.inf)

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Element = TypeVar("Element")


class Biases(NamedTuple):
    """Biases of one user's list: numbers to add to the scores of rows.

    Attributes:
        rows: int64 (A,), rows of the catalogue.
        values: float32 (A,), added to the scores; ``EXCLUDED`` removes a row from the list.
    """

    rows: Int
    values: Float


NO_BIASES = Biases(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


def exclusion(rows: Int) -> Biases:
    """Biases that exclude ``rows`` int64 (A,)."""
    return Biases(rows, _excluded(len(rows)))


@lru_cache(1024)
def _excluded(count: int) -> Float:
    """``EXCLUDED`` for each of ``count`` rows; cached, since every request needs it."""
    values = np.full(count, EXCLUDED)
    values.flags.writeable = False
    return values


class RankRequest(NamedTuple):
    """One user to rank the catalogue for.

    Attributes:
        user_state: float32 (state_dim,), adapted with this bundle.
        support: the events whose neighbours vote.
        biases: added to the scores.
        length: length of the list.
        allowed: rows that the list may hold; None allows all.
    """

    user_state: Float
    support: UserSupport
    biases: Biases
    length: int
    allowed: AllowedRows | None = None


class RankedRows(NamedTuple):
    """A list of the catalogue, best first: lists instead of arrays, because an answer is written item by item.

    Attributes:
        rows: C rows.
        scores: C scores.
    """

    rows: list[int]
    scores: list[float]


class Runtime:
    """Adapts and ranks with one bundle; stateless and thread-safe.

    Attributes:
        graphs: sessions of the bundle.
        catalogue: items of the bundle.
        max_ranked: users per run of ``score.onnx``.
    """

    def __init__(self, graphs: Graphs, catalogue: Catalogue) -> None:
        self.graphs, self.catalogue = graphs, catalogue
        self.max_ranked = max(1, min(MAX_RANKED, MAX_SCORES // len(catalogue)))

    def warm_up(self) -> None:
        """Rank for the largest batch, so that its memory is allocated in one piece before users come."""
        support = UserSupport(np.zeros(1, np.int64), np.ones(1, np.float32), np.zeros(1, np.float32))
        (state,) = self.adapt([support])
        self.rank([RankRequest(state, support, NO_BIASES, 1)] * self.max_ranked)

    def adapt(self, users: Sequence[UserSupport]) -> Float:
        """The inner loop: ``user_state`` float32 (B, state_dim). No bit of a state depends on the other users."""
        states = [self.graphs.adapt(*self._supported(run)) for run in _runs(users, MAX_ADAPTED)]
        return states[0] if len(states) == 1 else np.concatenate(states)

    def rank(self, requests: Sequence[RankRequest]) -> list[RankedRows]:
        """The best allowed rows for each user; fewer than ``length`` if the catalogue has no more.

        No bit of a list depends on the other users. If a mask allows most rows, a longer list is cut down to them,
        which reads the catalogue once for the whole batch; if that leaves too few, the user is ranked once more.
        """
        if all(request.allowed is None for request in requests):
            return self._rank_runs(requests)
        lists: list[RankedRows | None] = [None] * len(requests)
        longer = [(index, length) for index, request in enumerate(requests) if (length := self._length(request))]
        unmasked = [requests[index]._replace(length=length) for index, length in longer]
        for (index, length), ranked in zip(longer, self._rank_runs(unmasked), strict=True):
            lists[index] = self._cut(requests[index], ranked, length)
        return [ranked or self._rank_masked(requests[index]) for index, ranked in enumerate(lists)]

    def addends(self, requests: Sequence[RankRequest]) -> Addends:
        """The votes and biases of a batch of users; those of one user and row add up."""
        biases = [request.biases for request in requests]
        users = np.arange(len(requests)).repeat([len(user_biases.rows) for user_biases in biases])
        rows, values = (np.concatenate(column) for column in zip(*biases, strict=True))
        votes = self._votes([request.support for request in requests])
        return Addends(users, rows, values) if votes is None else votes + Addends(users, rows, values)

    def exact_scores(self, requests: Sequence[RankRequest]) -> Float:
        """Scores of the whole catalogue without quantisation, float32 (B, n_items): a reference for checks."""
        scores: Float = np.stack([request.user_state for request in requests]) @ self.catalogue.vectors.T
        addends = self.addends(requests)
        np.add.at(scores, (addends.users, addends.rows), addends.values)
        return scores

    def adapt_inputs(self, users: Sequence[UserSupport]) -> dict[str, NDArray[Any]]:
        """The inputs of ``adapt.onnx`` for a batch of users."""
        return self.graphs.adapt_inputs(*self._supported(users))

    def vote_inputs(self, users: Sequence[UserSupport]) -> dict[str, NDArray[Any]]:
        """The inputs of ``vote.onnx`` for a batch of users with at least one event."""
        rows = np.concatenate([user.rows for user in users])
        shots = [user.shots for user in users]
        return {
            "neighbour_rows": self.catalogue.neighbour_rows[rows],
            "neighbour_weights": self.catalogue.neighbour_weights[rows],
            "values": np.concatenate([user.values for user in users]),
            "ages": np.concatenate([user.ages for user in users]),
            "users": np.arange(len(users)).repeat(shots),
            "shots": np.array(shots, dtype=np.float32),
        }

    def _supported(self, users: Sequence[UserSupport]) -> tuple[Float, Support]:
        """The padded supports of a batch, and the item vectors of their rows."""
        support = Support.of(users)
        return self.catalogue.vectors[support.rows], support

    def _votes(self, users: Sequence[UserSupport]) -> Addends | None:
        """The addends of the users' events; None for a batch without events."""
        return self.graphs.vote(self.vote_inputs(users)) if any(user.shots for user in users) else None

    def _length(self, request: RankRequest) -> int | None:
        """Length of the unmasked list to cut down to the allowed rows; None if a masked scan is cheaper."""
        if request.allowed is None:
            return request.length
        return None if self.graphs.index else request.allowed.overfetch(request.length)

    def _cut(self, request: RankRequest, ranked: RankedRows, length: int) -> RankedRows | None:
        """The allowed rows of an unmasked list of at most ``length``; None if further rows could be among the best."""
        if request.allowed is None:
            return ranked
        mask = request.allowed.mask
        pairs = [(row, score) for row, score in zip(*ranked, strict=True) if mask[row]][: request.length]
        if len(pairs) < request.length and len(ranked.rows) == length:
            return None
        return RankedRows([row for row, _ in pairs], [score for _, score in pairs])

    def _rank_masked(self, request: RankRequest) -> RankedRows:
        allowed = request.allowed
        if allowed is not None and not self.graphs.index and allowed.count <= len(allowed.mask) * MAX_GATHERED:
            return self._rank_gathered(request, allowed)
        state, addends = request.user_state[None], self.addends([request])
        rows, scores = self.graphs.score(state, addends, request.length, request.allowed)
        return _without_excluded(rows[0].tolist(), scores[0].tolist(), request.length)

    def _rank_gathered(self, request: RankRequest, allowed: AllowedRows) -> RankedRows:
        """The list of a selective mask: float32 scores of its rows alone, without a scan."""
        rows, addends = allowed.rows, self.addends([request])
        scores: Float = self.catalogue.vectors[rows] @ request.user_state
        kept = allowed.mask[addends.rows]
        np.add.at(scores, np.searchsorted(rows, addends.rows[kept]), addends.values[kept])
        length = min(request.length, len(rows))
        best = np.argpartition(-scores, length - 1)[:length] if length else np.zeros(0, np.int64)
        best = best[np.argsort(-scores[best], kind="stable")]
        return _without_excluded(rows[best].tolist(), scores[best].tolist(), length)

    def _rank_runs(self, requests: Sequence[RankRequest]) -> list[RankedRows]:
        return [ranked for run in _runs(requests, self.max_ranked) for ranked in self._rank_run(run)]

    def _rank_run(self, requests: Sequence[RankRequest]) -> list[RankedRows]:
        states = np.concatenate([request.user_state for request in requests]).reshape(len(requests), -1)
        count = max(request.length for request in requests)
        rows, scores = self.graphs.score(states, self.addends(requests), count)
        ranked = zip(rows.tolist(), scores.tolist(), requests, strict=True)
        return [_without_excluded(user_rows, user_scores, request.length) for user_rows, user_scores, request in ranked]


def _runs(users: Sequence[Element], at_most: int) -> Iterator[Sequence[Element]]:
    """As few runs as possible, of one size: one user alone takes half the time of four."""
    size = math.ceil(len(users) / math.ceil(len(users) / at_most)) if users else 1
    return (users[first : first + size] for first in range(0, len(users), size))


def _without_excluded(rows: list[int], scores: list[float], count: int) -> RankedRows:
    """The first ``count`` rows; excluded rows are the last ones."""
    length = min(count, len(rows))
    while length and scores[length - 1] == EXCLUDED:
        length -= 1
    return RankedRows(rows[:length], scores[:length])
