"""The protocol for items without history: a tenth of the items is held out of training, and only they are asked for.

The held-out items stay in the catalogue with their content; all their events are taken away from everybody. A
validation or test user's support is the first k of the events that are left; the query is what the user liked among
the held-out items; all of these, and nothing else, are ranked.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.baselines import ByShots, ContentKNN, Popularity, WithPopularity, content_matrix, rare_counts_more
from model_store.baselines.mixing import mixed_headline
from model_store.baselines.tuning import BETAS, Grid, Tuned
from model_store.data.episodes import Support
from model_store.data.schema import Dataset
from model_store.errors import DataError
from model_store.evaluation.protocol import KShot, Recommender, Tasks, fewer_shots
from model_store.meta.items.mapping import columns_of, fit_mapping, knowledge

HELD_OUT_SHARE = 0.1
MORE_EVENTS = "expected users with several events: add events, or such users"

GRID: Grid = {"rare_counts_more": (0, 1), "power": (1, 2, 4), "shrinkage": (0, 3)}

Mask = NDArray[np.bool_]


def hold_out(dataset: Dataset, seed: int) -> Mask:
    """Draw a tenth of the items that have events, bool (n_items,).

    Raises:
        DataError: no item has content, so that new ones could not be told apart.
    """
    if not len(dataset.features.indices):
        raise DataError(
            f"{dataset.fingerprint.source}: no item has a feature, expected columns beside item_id and title "
            "in items.parquet or items.csv; without them new items cannot be told apart"
        )
    with_events = np.unique(dataset.events.items)
    count = max(1, round(HELD_OUT_SHARE * len(with_events)))
    held_out = np.zeros(dataset.n_items, dtype=np.bool_)
    held_out[np.random.default_rng(seed).choice(with_events, count, replace=False)] = True
    return held_out


def without_items(dataset: Dataset, held_out: Mask) -> Dataset:
    """The data set without any event of the held-out items; users and catalogue stay as they are."""
    events = dataset.events
    kept = ~held_out[events.items]
    before = np.concatenate([[0], np.cumsum(kept)])
    return dataclasses.replace(dataset, events=events.at(kept, before[events.indptr]))


def new_item_tasks(dataset: Dataset, held_out: Mask, users: NDArray[np.int64], protocol: KShot) -> Tasks:
    """Tasks of the ``users`` with enough events left who liked a held-out item.

    Args:
        dataset: all of it, events of the held-out items included.
        held_out: bool (n_items,), the items to ask for.
        users: whom to ask.
        protocol: the k, and how many events must be left.

    Returns:
        Tasks whose catalogue is the held-out items: every other item is masked, and ``n_items`` counts only them.

    Raises:
        DataError: there is no such user.
    """
    events = dataset.events
    left = without_items(dataset, held_out).events
    asked = held_out[events.items] & (events.values >= dataset.feedback.liked_at_least)
    queries = [events.items[events.user(int(user))][asked[events.user(int(user))]] for user in users]
    enough = left.lengths()[users] >= protocol.min_events
    chosen = [place for place, query in enumerate(queries) if enough[place] and len(query)]
    if not chosen:
        lengths = left.lengths()
        longest = max((lengths[user] for user, query in zip(users, queries, strict=True) if len(query)), default=0)
        raise DataError(
            f"none of {len(users)} users has {protocol.min_events} events and likes one of the {held_out.sum()} items "
            f"held out of training; {fewer_shots(protocol, lambda fewer: fewer.min_events <= longest) or MORE_EVENTS}"
        )
    others = np.flatnonzero(~held_out).astype(np.int32)
    queries = [queries[place] for place in chosen]
    return Tasks(protocol, left, users[chosen], queries, [others] * len(chosen), int(held_out.sum()))


@dataclass(frozen=True)
class Random:
    """The floor: another random order for everybody."""

    n_items: int
    rng: np.random.Generator

    def score(self, support: Support) -> NDArray[np.float32]:
        """Float32 (B, n_items)."""
        return self.rng.random((len(support.rows), self.n_items), dtype=np.float32)


@dataclass(frozen=True)
class NewItemTuner:
    """Baselines that can rank items without history, tuned on validation users.

    Attributes:
        dataset: without the events of the held-out items.
        liked: (n_users, n_items), what the training users liked of the other items.
        held_out: bool (n_items,).
        validation: tasks of the validation users.
        seed: of the random order.
        on_step: told the name of each candidate before it is fitted.
    """

    dataset: Dataset
    liked: sp.csr_array
    held_out: Mask
    validation: Tasks
    seed: int = 0
    on_step: Callable[[str], None] = lambda _: None

    def baselines(self) -> Iterator[tuple[str, Tuned]]:
        """Random, popularity guessed from content, content-kNN, and the best mix of the two at each k."""
        yield "random", Tuned(Random(self.dataset.n_items, np.random.default_rng(self.seed)))
        popularity = self._popularity()
        yield "content popularity", Tuned(popularity, note="log popularity regressed on the content")
        alone = Popularity(np.zeros(self.dataset.n_items, dtype=np.float32))
        yield "content-kNN", self._content_knn(alone)
        yield "content-kNN + popularity", self._content_knn(popularity)

    def _popularity(self) -> Popularity:
        features, likes = content_matrix(self.dataset.features), np.asarray(self.liked.sum(0), dtype=np.float64)
        known = np.flatnonzero(likes)
        targets = Popularity.fit(self.liked).log_popularity[known, None].astype(np.float64)
        rng, columns = np.random.default_rng(self.seed), columns_of(self.dataset.features.names)
        mapping = fit_mapping(features[known], targets, knowledge(likes[known]), rng, columns)
        return Popularity(mapping(features)[:, 0].astype(np.float32))

    def _content_knn(self, popularity: Popularity) -> Tuned:
        best: dict[int, float] = {}
        chosen: dict[int, WithPopularity] = {}
        choice: dict[int, dict[str, float]] = {}
        for settings, model in self._candidates():
            self.on_step("content-kNN " + ", ".join(f"{key} {value:g}" for key, value in settings.items()))
            for shots in self.validation.protocol.shots:
                scores = mixed_headline(model, popularity, BETAS, self.validation, shots)
                if scores.max() > best.get(shots, -np.inf):
                    best[shots], beta = scores.max(), BETAS[scores.argmax()]
                    chosen[shots] = WithPopularity(model, popularity, beta)
                    choice[shots] = {**settings, "beta": beta}
        return Tuned(
            ByShots(chosen), choice, {**GRID, "beta": BETAS}, "beta is its weight beside content popularity, if any"
        )

    def _candidates(self) -> Iterator[tuple[dict[str, float], Recommender]]:
        plain = content_matrix(self.dataset.features)
        weighted = {0: plain.astype(np.float32), 1: rare_counts_more(plain).astype(np.float32)}
        candidates = np.flatnonzero(self.held_out)
        for values in itertools.product(*GRID.values()):
            rare, power, shrinkage = values
            model = ContentKNN(weighted[int(rare)], candidates, power, shrinkage, self.dataset.feedback.liked_at_least)
            yield dict(zip(GRID, values, strict=True)), model
