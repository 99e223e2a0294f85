"""Tuning the baselines on validation users: a baseline that was not tuned proves nothing.

Every baseline is given, at each k, the hyperparameter and the mix with the popularity prior that serve it best there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.evaluation.baselines import (
    ByShots,
    CoCounts,
    ItemItem,
    Popularity,
    WithPopularity,
    ease,
    item_knn,
)
from model_store.evaluation.protocol import HEADLINE, Recommender, Tasks, judge, top_items


@dataclass(frozen=True)
class Sweep:
    """Values of one hyperparameter, and the fit that takes them."""

    parameter: str
    values: tuple[float, ...]
    fit: Callable[[CoCounts, float], NDArray[np.float32]]


SWEEPS = {
    "item-kNN": Sweep("shrinkage", (0.0, 10.0, 50.0, 200.0), item_knn),
    "EASE": Sweep("regularisation", (30.0, 100.0, 300.0, 1000.0), ease),
}
BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)


@dataclass(frozen=True)
class Tuned:
    """A baseline as it enters the comparison.

    Attributes:
        recommender: ready to be judged.
        choice: k → what was chosen there, for the report.
        note: what a reader must know, e.g. a restriction; "" if nothing.
    """

    recommender: Recommender
    choice: dict[int, dict[str, float]]
    note: str = ""


def tuned_baselines(
    liked: sp.csr_array,
    liked_at_least: float,
    validation: Tasks,
    *,
    max_items: int,
    on_step: Callable[[str], None] = lambda _: None,
) -> Iterator[tuple[str, Tuned]]:
    """Fit and tune popularity, item-kNN and EASE, one after the other.

    Args:
        liked: (n_users, n_items), what the training users liked.
        liked_at_least: what counts as liked in a support.
        validation: tasks of the validation users.
        max_items: item-kNN and EASE are restricted to that many items; their matrices are dense.
        on_step: told the name of each candidate before it is fitted.
    """
    popularity = Popularity.fit(liked)
    yield "popularity", Tuned(popularity, {})
    counts = CoCounts.count(liked, max_items)
    note = "" if max_items >= liked.shape[1] else f"covers the {max_items} most liked of {liked.shape[1]} items"
    for name, sweep in SWEEPS.items():
        yield name, _tune(name, sweep, counts, liked_at_least, popularity, validation, note, on_step)


def _tune(
    name: str,
    sweep: Sweep,
    counts: CoCounts,
    liked_at_least: float,
    popularity: Popularity,
    validation: Tasks,
    note: str,
    on_step: Callable[[str], None],
) -> Tuned:
    """Keep the best candidate at each k; ties go to the earlier value."""
    best: dict[int, float] = {}
    chosen: dict[int, WithPopularity] = {}
    choice: dict[int, dict[str, float]] = {}
    for value in sweep.values:
        on_step(f"{name}, {sweep.parameter} {value:g}")
        model = ItemItem(sweep.fit(counts, value), counts.kept, counts.n_items, liked_at_least)
        for shots in validation.protocol.shots:
            for beta, score in zip(BETAS, _mixes(model, popularity, validation, shots), strict=True):
                if score > best.get(shots, -np.inf):
                    best[shots] = score
                    chosen[shots] = WithPopularity(model, popularity, beta)
                    choice[shots] = {sweep.parameter: value, "beta": beta}
    return Tuned(ByShots(chosen), choice, note)


def _mixes(model: ItemItem, popularity: Popularity, tasks: Tasks, shots: int) -> list[float]:
    """Headline metric of β · model + log popularity for every β."""
    tops: list[list[NDArray[np.int64]]] = [[] for _ in BETAS]
    for run in tasks.batches():
        scores = model.score(tasks.support(shots, run))
        for beta, top in zip(BETAS, tops, strict=True):
            top.append(top_items(np.float32(beta) * scores + popularity.log_popularity, tasks, run))
    return [float(judge(np.concatenate(top), tasks).per_user[HEADLINE].mean()) for top in tops]
