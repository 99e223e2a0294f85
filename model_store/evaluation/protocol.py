"""The k-shot protocol: users never seen in training, the same query at every k, the whole catalogue ranked.

Of a user's events in order, the first k are the support. The query is the items that the user liked after event
``query_after``, the same for every k. The items of all events up to there are masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Support
from model_store.data.episodes import pack_support
from model_store.data.schema import Dataset, Events
from model_store.errors import DataError
from model_store.evaluation import metrics
from model_store.evaluation.beyond_accuracy import ItemFacts, long_tail_ndcg
from model_store.evaluation.figures import Figure, Figures

DEPTH = 100
BATCH = 128
DENSE_SHOTS = (0, 1, 3, 5, 10, 20)
SPARSE_SHOTS = (0, 1, 2, 3)
DENSE_MIN_EVENTS = 30

UserGroups = Mapping[str, NDArray[np.int64]]
"""Name of a group, e.g. "validation users" → users, int64 (n,)."""
NO_GROUPS: UserGroups = MappingProxyType({})


class Recommender(Protocol):
    """A model that scores the catalogue from a support."""

    def score(self, support: Support) -> NDArray[np.float32]:
        """Scores float32 (B, n_items); higher is better."""
        ...


@runtime_checkable
class Ranker(Protocol):
    """A model that ranks the catalogue itself, as a bundle does."""

    def rank(
        self,
        support: Support,
        masked: Sequence[NDArray[np.int32]],
        subsets: Sequence[NDArray[np.bool_] | None],
        depth: int,
    ) -> list[NDArray[np.int64]]:
        """The best rows per user, best first, int64 (B, depth); one such array per subset.

        Args:
            support: supports of B users.
            masked: per user, rows that are ranked last.
            subsets: bool (n_items,), the rows to rank; None ranks all. Other rows are ranked last.
            depth: length of the lists, at most the size of the catalogue.
        """
        ...


@dataclass(frozen=True)
class KShot:
    """Settings of the protocol.

    Attributes:
        shots: the k to evaluate, increasing.
        min_events: users with fewer events are left out.
    """

    shots: tuple[int, ...]
    min_events: int

    @property
    def query_after(self) -> int:
        """Events before the query starts: the largest k."""
        return max(self.shots)


@dataclass(frozen=True)
class Tasks:
    """The users that a protocol applies to, each with a query.

    Attributes:
        protocol: settings.
        events: events of the users, among others.
        users: int64 (n,), codes into ``events``.
        queries: per user, rows of the items liked after ``query_after``.
        masked: per user, rows of the items before it.
        n_items: size of the catalogue.
    """

    protocol: KShot
    events: Events
    users: NDArray[np.int64]
    queries: list[NDArray[np.int32]]
    masked: list[NDArray[np.int32]]
    n_items: int

    def support(self, shots: int, run: slice) -> Support:
        """The first ``shots`` events of a run of the tasks' users."""
        users = self.users[run]
        return pack_support(
            self.events, [np.arange(start, start + shots) for start in self.events.indptr[users]], users
        )

    def batches(self) -> list[slice]:
        """Runs of users small enough to be scored in one batch."""
        return [slice(first, min(first + BATCH, len(self.users))) for first in range(0, len(self.users), BATCH)]


class Reach(NamedTuple):
    """The number of shots that users have events for, int64 (n,) both.

    Attributes:
        lengths: events per user.
        last_liked: position of each user's last liked event, from 0; -1 for users without likes.
    """

    lengths: NDArray[np.int64]
    last_liked: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset, users: NDArray[np.int64]) -> Reach:
        """The reach of ``users``, in that order."""
        events = dataset.events.select(users)
        lengths = events.lengths()
        user_of_event = np.repeat(np.arange(len(users)), lengths)
        liked = np.flatnonzero(events.values >= dataset.feedback.liked_at_least)
        last_liked = np.full(len(users), -1, dtype=np.int64)
        last_liked[user_of_event[liked]] = (
            liked - events.indptr[user_of_event[liked]]
        )  # the last of several assignments counts
        return cls(lengths, last_liked)

    def allows(self, protocol: KShot) -> NDArray[np.bool_]:
        """Users that the protocol applies to, bool (n,): enough events, and a liked one in the query."""
        return (self.lengths >= protocol.min_events) & (self.last_liked >= protocol.query_after)


def choose_protocol(dataset: Dataset, shots: tuple[int, ...] | None = None, groups: UserGroups = NO_GROUPS) -> KShot:
    """The protocol that fits the data: up to 20 shots, or up to 3, 2 or 1 where users have few events.

    Args:
        dataset: the data.
        shots: the k; chosen from the data if absent.
        groups: groups of users; the protocol must apply to at least one user of each.

    Raises:
        DataError: there is a group with no user that the protocol applies to.
    """
    candidates = [_protocol(shots)] if shots else _candidates(dataset)
    reaches = {name: Reach.of(dataset, users) for name, users in groups.items()}
    for protocol in candidates:
        if all(reach.allows(protocol).any() for reach in reaches.values()):
            return protocol
    raise _refusal(candidates[-1], reaches)


def _protocol(shots: tuple[int, ...]) -> KShot:
    # A long support leaves room for ten events of query; sparse data only for one.
    query_after = max(shots)
    return KShot(shots, query_after + (10 if query_after >= max(DENSE_SHOTS) else 1))


def _candidates(dataset: Dataset) -> list[KShot]:
    """Protocols that users may have enough events for, the longest first."""
    dense = np.mean(dataset.events.lengths() >= DENSE_MIN_EVENTS) >= 0.1  # noqa: PLR2004 - a tenth of the users
    shorter = [SPARSE_SHOTS[:length] for length in range(len(SPARSE_SHOTS), 1, -1)]
    return [_protocol(shots) for shots in ([DENSE_SHOTS] if dense else []) + shorter]


def _refusal(protocol: KShot, reaches: Mapping[str, Reach]) -> DataError:
    """An error naming the first group that ``protocol`` does not fit, with shots that fit all groups."""
    name, reach = next((name, reach) for name, reach in reaches.items() if not reach.allows(protocol).any())
    problem = (
        f"none of {len(reach.lengths)} {name} has {protocol.min_events} events and likes one after event "
        f"{protocol.query_after}"
    )
    advice = fewer_shots(protocol, lambda fewer: all(reach.allows(fewer).any() for reach in reaches.values()))
    if advice:
        return DataError(f"{problem}; {advice}")
    if all((reach.lengths > 1).any() for reach in reaches.values()):
        return DataError(f"{problem}, nor after the first; too little is liked: set --liked-from to a lower value")
    return DataError(f"{problem}, nor 2 events; expected users with several events: add events, or such users")


def fewer_shots(protocol: KShot, applies: Callable[[KShot], bool]) -> str:
    """Advice for data that a protocol does not fit: the most shots that do; "" if not even one does."""
    for most in range(protocol.query_after - 1, 0, -1):
        shots = (*(k for k in protocol.shots if k < most), most)
        if applies(_protocol(shots)):
            return f"ask for fewer shots: --shots {','.join(map(str, shots))}"
    return ""


def make_tasks(dataset: Dataset, users: NDArray[np.int64], protocol: KShot) -> Tasks:
    """Pick the users with enough events and at least one item in the query.

    Raises:
        DataError: there are no such users.
    """
    reach, events, after = Reach.of(dataset, users), dataset.events, protocol.query_after
    judged = users[reach.allows(protocol)]
    if not len(judged):
        raise _refusal(protocol, {"users": reach})
    queries, masked = [], []
    for user in judged:
        run = events.user(int(user))
        items, liked = events.items[run], events.values[run] >= dataset.feedback.liked_at_least
        queries.append(items[after:][liked[after:]])
        masked.append(items[:after])
    return Tasks(protocol, events, judged, queries, masked, dataset.n_items)


@dataclass(frozen=True)
class Judgement:
    """Metrics of one recommender at one k.

    Attributes:
        per_user: metric → float64 (n_users,); fewer entries for a metric that not every query allows.
        coverage: coverage@10.
    """

    per_user: dict[str, NDArray[np.float64]]
    coverage: float

    def summary(self) -> Figures:
        """The coverage, and means over users with their 95% intervals."""
        means = {
            metric: Figure(float(values.mean()), metrics.bootstrap_interval(values))
            for metric, values in self.per_user.items()
        }
        return {"coverage@10": Figure(self.coverage), **means}


def evaluate(
    recommender: Recommender | Ranker,
    tasks: Tasks,
    *,
    facts: ItemFacts | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[int, Judgement]:
    """Judge a recommender at every k of the protocol; k → :class:`Judgement`.

    Args:
        recommender: the model.
        tasks: users and their queries.
        facts: for the metrics beyond accuracy; these are left out if absent.
        on_batch: called after every batch of users.
    """
    judgements = {}
    subsets = (None, facts.tail) if facts else (None,)
    for shots in tasks.protocol.shots:
        batches = []
        for run in tasks.batches():
            batches.append(_rank(recommender, shots, tasks, run, subsets))
            on_batch()
        top, *tail = map(np.concatenate, zip(*batches, strict=True))
        judgement = judge(top, tasks, facts)
        judgements[shots] = _with_tail(judgement, tail[0], tasks, facts) if facts else judgement
    return judgements


def _rank(
    recommender: Recommender | Ranker, shots: int, tasks: Tasks, run: slice, subsets: Sequence[NDArray[np.bool_] | None]
) -> list[NDArray[np.int64]]:
    """The best unmasked rows of a batch of users, int64 (B, depth), once per subset of the catalogue."""
    support = tasks.support(shots, run)
    if isinstance(recommender, Ranker):
        return recommender.rank(support, tasks.masked[run], subsets, DEPTH)
    scores = recommender.score(support)
    return [
        top_items(scores if subset is None else np.where(subset, scores, -np.inf), tasks, run) for subset in subsets
    ]


def _with_tail(judgement: Judgement, top: NDArray[np.int64], tasks: Tasks, facts: ItemFacts) -> Judgement:
    """Add the NDCG of the long tail, from lists of the tail only, if any query has items of it."""
    tail = long_tail_ndcg(top, tasks.queries, facts.tail, 10)
    return Judgement({**judgement.per_user, "ndcg-tail@10": tail}, judgement.coverage) if len(tail) else judgement


def top_items(scores: NDArray[np.float32], tasks: Tasks, run: slice) -> NDArray[np.int64]:
    """The best unmasked rows of a batch of users, best first, int64 (B, depth); ties by row."""
    scores = scores.copy()
    for user, masked in enumerate(tasks.masked[run]):
        scores[user, masked] = -np.inf
    return np.stack([_best_rows(user_scores, min(DEPTH, len(user_scores))) for user_scores in scores])


def _best_rows(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    # A partition alone would keep arbitrary rows of those that tie for the last place.
    candidates = np.flatnonzero(scores >= np.partition(scores, -depth)[-depth])
    return candidates[np.argsort(-scores[candidates], kind="stable")][:depth]


def judge(top: NDArray[np.int64], tasks: Tasks, facts: ItemFacts | None = None) -> Judgement:
    """Metrics of all users' lists, int64 (n_users, depth); those beyond accuracy only with ``facts``."""
    hits = np.stack([np.isin(rows, query) for rows, query in zip(top, tasks.queries, strict=True)])
    n_relevant = np.array([len(query) for query in tasks.queries])
    per_user = {
        "ndcg@10": metrics.ndcg(hits, n_relevant, 10),
        "recall@20": metrics.recall(hits, n_relevant, 20),
        "hr@10": metrics.hit_rate(hits, 10),
        "mrr": metrics.reciprocal_rank(hits),
        **(facts.judge(top) if facts else {}),
    }
    return Judgement(per_user, metrics.coverage(top, tasks.n_items, 10))
