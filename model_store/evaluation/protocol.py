"""The k-shot protocol: users never seen in training, the same query at every k, the whole catalogue ranked.

A user's events in order: the first k are the support; the query is what the user liked after the event
``query_after``, the same for every k; everything up to there is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.data.episodes import Support, pack_support
from model_store.data.schema import Dataset, Events
from model_store.errors import DataError
from model_store.evaluation import metrics
from model_store.evaluation.beyond_accuracy import ItemFacts, long_tail_ndcg

DEPTH = 100
BATCH = 128
HEADLINE = "ndcg@10"
DENSE_SHOTS = (0, 1, 3, 5, 10, 20)
SPARSE_SHOTS = (0, 1, 2, 3)
DENSE_MIN_EVENTS = 30

Parts = Mapping[str, NDArray[np.int64]]
"""Users, int64 (n,), by what they are called, e.g. "validation users"."""
NO_PARTS: Parts = MappingProxyType({})


class Recommender(Protocol):
    """Anything that scores the catalogue from a support."""

    def score(self, support: Support) -> NDArray[np.float32]:
        """Scores float32 (B, n_items); higher is better."""
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

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {**asdict(self), "query_after": self.query_after}


@dataclass(frozen=True)
class Tasks:
    """The users a protocol applies to, with what each is asked.

    Attributes:
        protocol: its settings.
        events: where the supports stand.
        users: int64 (n,), codes into ``events``.
        queries: rows of the liked items of each user after ``query_after``.
        masked: rows of the items of each user before it.
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
        """Runs of users small enough to score at once."""
        return [slice(first, min(first + BATCH, len(self.users))) for first in range(0, len(self.users), BATCH)]


class Reach(NamedTuple):
    """How many shots users have events for, int64 (n,) both.

    Attributes:
        lengths: events of each user.
        last_liked: place of each user's last liked event, from 0; -1 where nothing is liked.
    """

    lengths: NDArray[np.int64]
    last_liked: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset, users: NDArray[np.int64]) -> Reach:
        """The reach of ``users``, in that order."""
        events = dataset.events.select(users)
        lengths = events.lengths()
        owners = np.repeat(np.arange(len(users)), lengths)
        liked = np.flatnonzero(events.values >= dataset.feedback.liked_at_least)
        last_liked = np.full(len(users), -1, dtype=np.int64)
        last_liked[owners[liked]] = liked - events.indptr[owners[liked]]  # of several the last assignment stands
        return cls(lengths, last_liked)

    def allows(self, protocol: KShot) -> NDArray[np.bool_]:
        """Whether the protocol applies to each user, bool (n,): events enough, and a liked one in the query."""
        return (self.lengths >= protocol.min_events) & (self.last_liked >= protocol.query_after)


def choose_protocol(dataset: Dataset, shots: tuple[int, ...] | None = None, parts: Parts = NO_PARTS) -> KShot:
    """The protocol that fits the data: up to 20 shots, or up to 3, 2 or 1 where users have few events.

    Args:
        dataset: the data.
        shots: the k, if they are not the data's to choose.
        parts: users by the name of their part; each part needs somebody whom the protocol applies to.

    Raises:
        DataError: in one of ``parts`` the protocol applies to nobody.
    """
    candidates = [_protocol(shots)] if shots else _candidates(dataset)
    reaches = {name: Reach.of(dataset, users) for name, users in parts.items()}
    for protocol in candidates:
        if all(reach.allows(protocol).any() for reach in reaches.values()):
            return protocol
    raise _refusal(candidates[-1], reaches)


def _protocol(shots: tuple[int, ...]) -> KShot:
    # Ten events of query where the support is long; where data is sparse, one must do.
    query_after = max(shots)
    return KShot(shots, query_after + (10 if query_after >= max(DENSE_SHOTS) else 1))


def _candidates(dataset: Dataset) -> list[KShot]:
    """Protocols that users may have events enough for, the longest first."""
    dense = np.mean(dataset.events.lengths() >= DENSE_MIN_EVENTS) >= 0.1  # noqa: PLR2004 - a tenth of the users
    shorter = [SPARSE_SHOTS[:length] for length in range(len(SPARSE_SHOTS), 1, -1)]
    return [_protocol(shots) for shots in ([DENSE_SHOTS] if dense else []) + shorter]


def _refusal(protocol: KShot, reaches: Mapping[str, Reach]) -> DataError:
    """The first part that ``protocol`` applies to nobody of, and shots that all parts have events for."""
    name, reach = next((name, reach) for name, reach in reaches.items() if not reach.allows(protocol).any())
    lacking = (
        f"none of {len(reach.lengths)} {name} has {protocol.min_events} events and likes one after event "
        f"{protocol.query_after}"
    )
    advice = fewer_shots(protocol, lambda fewer: all(other.allows(fewer).any() for other in reaches.values()))
    if advice:
        return DataError(f"{lacking}; {advice}")
    if all((other.lengths > 1).any() for other in reaches.values()):
        return DataError(f"{lacking}, nor after the first; too little is liked: set --liked-from to a lower value")
    return DataError(f"{lacking}, nor 2 events; expected users with several: add events, or such users")


def fewer_shots(protocol: KShot, applies: Callable[[KShot], bool]) -> str:
    """Advice for data that a protocol does not apply to: the most shots that do; "" where not even one does."""
    for most in range(protocol.query_after - 1, 0, -1):
        shots = (*(k for k in protocol.shots if k < most), most)
        if applies(_protocol(shots)):
            return f"ask for fewer shots: --shots {','.join(map(str, shots))}"
    return ""


def make_tasks(dataset: Dataset, users: NDArray[np.int64], protocol: KShot) -> Tasks:
    """Pick the users with enough events and something to ask for.

    Raises:
        DataError: there is none.
    """
    reach, events, after = Reach.of(dataset, users), dataset.events, protocol.query_after
    kept = users[reach.allows(protocol)]
    if not len(kept):
        raise _refusal(protocol, {"users": reach})
    queries, masked = [], []
    for user in kept:
        run = events.user(int(user))
        items, liked = events.items[run], events.values[run] >= dataset.feedback.liked_at_least
        queries.append(items[after:][liked[after:]])
        masked.append(items[:after])
    return Tasks(protocol, events, kept, queries, masked, dataset.n_items)


@dataclass(frozen=True)
class Judgement:
    """What one recommender got at one k: metric name → float64 (n_users,), and its coverage@10.

    A metric that not every user's query allows has fewer entries.
    """

    per_user: dict[str, NDArray[np.float64]]
    coverage: float

    def summary(self) -> dict[str, Any]:
        """Means over users, each with its 95% interval, and the coverage."""
        found: dict[str, Any] = {"coverage@10": self.coverage}
        for name, values in self.per_user.items():
            found[name] = float(values.mean())
            found[f"{name} interval"] = list(metrics.bootstrap_interval(values))
        return found


def evaluate(
    recommender: Recommender,
    tasks: Tasks,
    *,
    facts: ItemFacts | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> dict[int, Judgement]:
    """Judge a recommender at every k of the protocol; k → :class:`Judgement`.

    Args:
        recommender: whom to judge.
        tasks: users and their queries.
        facts: for the metrics beyond accuracy, which are left out without it.
        on_batch: told after every batch of users.
    """
    judgements = {}
    for shots in tasks.protocol.shots:
        tops, tails = [], []
        for run in tasks.batches():
            scores = recommender.score(tasks.support(shots, run))
            tops.append(top_items(scores, tasks, run))
            if facts:
                tails.append(top_items(np.where(facts.tail, scores, -np.inf), tasks, run))
            on_batch()
        judged = judge(np.concatenate(tops), tasks, facts)
        judgements[shots] = _with_tail(judged, np.concatenate(tails), tasks, facts) if facts else judged
    return judgements


def _with_tail(judged: Judgement, top: NDArray[np.int64], tasks: Tasks, facts: ItemFacts) -> Judgement:
    """Add the NDCG of the long tail from its own lists, unless nobody's query holds any of it."""
    of_tail = long_tail_ndcg(top, tasks.queries, facts.tail, 10)
    return Judgement({**judged.per_user, "ndcg-tail@10": of_tail}, judged.coverage) if len(of_tail) else judged


def top_items(scores: NDArray[np.float32], tasks: Tasks, run: slice) -> NDArray[np.int64]:
    """The best unmasked rows of a batch of users, best first, int64 (B, depth); ties by row."""
    scores = scores.copy()
    for row, masked in enumerate(tasks.masked[run]):
        scores[row, masked] = -np.inf
    return np.stack([_best_rows(row, min(DEPTH, len(row))) for row in scores])


def _best_rows(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    # A partition alone would keep arbitrary ones of several rows that tie for the last place.
    candidates = np.flatnonzero(scores >= np.partition(scores, -depth)[-depth])
    return candidates[np.argsort(-scores[candidates], kind="stable")][:depth]


def judge(top: NDArray[np.int64], tasks: Tasks, facts: ItemFacts | None = None) -> Judgement:
    """Metrics of everybody's list, int64 (n_users, depth); those beyond accuracy where there are ``facts``."""
    hits = np.stack([np.isin(row, query) for row, query in zip(top, tasks.queries, strict=True)])
    n_relevant = np.array([len(query) for query in tasks.queries])
    per_user = {
        "ndcg@10": metrics.ndcg(hits, n_relevant, 10),
        "recall@20": metrics.recall(hits, n_relevant, 20),
        "hr@10": metrics.hit_rate(hits, 10),
        "mrr": metrics.reciprocal_rank(hits),
        **(facts.judge(top) if facts else {}),
    }
    return Judgement(per_user, metrics.coverage(top, tasks.n_items, 10))
