"""Tuning the baselines on validation users: a baseline that was not tuned proves nothing.

Every baseline is given, at each k, the hyperparameters and the mix with the popularity prior that serve it best there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.baselines import (
    IALS,
    ByShots,
    ItemItem,
    MultiVAE,
    Popularity,
    VAESchedule,
    WithPopularity,
    fit_multi_vae,
    item_knn,
)
from model_store.baselines.mixing import mixed_headline
from model_store.config import Sweep
from model_store.evaluation.protocol import Recommender, Tasks
from model_store.meta.parts.ease import CoCounts, ease

BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

Grid = dict[str, tuple[float, ...]]

# Baseline → hyperparameter → values; all combinations are tried.
GRIDS: dict[Sweep, dict[str, Grid]] = {
    Sweep.QUICK: {
        "item-kNN": {"shrinkage": (0, 10, 50, 200)},
        "EASE": {"regularisation": (30, 100, 300, 1000)},
        "iALS": {"dim": (64,), "regularisation": (1, 3, 10), "unobserved_weight": (0.01, 0.03, 0.1)},
        "multi-VAE": {"hidden": (100,), "dropout": (0.5,), "kl_weight": (0.2,)},
    },
    Sweep.FULL: {
        "item-kNN": {"shrinkage": (0, 5, 10, 20, 50, 100, 200, 500)},
        "EASE": {"regularisation": (3, 10, 30, 100, 300, 1000, 3000)},
        "iALS": {
            "dim": (32, 64, 128),
            "regularisation": (0.3, 1, 3, 10, 30),
            "unobserved_weight": (0.003, 0.01, 0.03, 0.1, 0.2),
        },
        "multi-VAE": {"hidden": (100, 200), "dropout": (0.5, 0.7), "kl_weight": (0.1, 0.2, 0.5)},
    },
}
SCHEDULES = {Sweep.QUICK: VAESchedule(max_steps=600), Sweep.FULL: VAESchedule(max_steps=2000)}


@dataclass(frozen=True)
class Tuned:
    """A baseline as it enters the comparison.

    Attributes:
        recommender: ready to be judged.
        choice: k → what was chosen there, for the report.
        grid: what it was chosen from.
        note: what a reader must know, e.g. a restriction; "" if nothing.
    """

    recommender: Recommender
    choice: dict[int, dict[str, float]] = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For the report, and to be read by ``shortlist``."""
        choice = {str(shots): choice for shots, choice in self.choice.items()}
        return {"choice": choice, "grid": self.grid, "note": self.note}


def _combinations(grid: Grid) -> Iterator[dict[str, float]]:
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


Shortlist = dict[str, list[dict[str, float]]]


def shortlist(reported: dict[str, dict[str, Any]], sweep: Sweep) -> Shortlist:
    """Baseline → the settings that an earlier sweep chose at some k, without β; all others lost on the same users.

    Args:
        reported: baseline → ``Tuned.as_dict()``, of a sweep with the same training and validation users.
        sweep: what is asked for now; a baseline that was chosen from another grid is left out.
    """
    kept: Shortlist = {}
    for name, grid in GRIDS[sweep].items():
        told = reported.get(name, {"grid": None})
        if told["grid"] == {key: list(values) for key, values in _with_betas(grid).items()}:
            settings = [{key: choice[key] for key in grid} for choice in told["choice"].values()]
            kept[name] = [each for place, each in enumerate(settings) if each not in settings[:place]]
    return kept


def _with_betas(grid: Grid) -> Grid:
    return {**grid, "beta": BETAS}


@dataclass(frozen=True)
class Tuner:
    """What the baselines learn from, and what they are tuned on.

    Attributes:
        liked: (n_users, n_items), what the training users liked.
        liked_at_least: what counts as liked in a support.
        validation: tasks of the validation users.
        max_items: item-kNN, EASE and multi-VAE cover that many items; their matrices are dense.
        sweep: how many candidates to try.
        seed: of what starts from random numbers.
        shortlist: settings to try of a baseline, in place of its whole grid.
        on_step: told the name of each candidate before it is fitted.
    """

    liked: sp.csr_array
    liked_at_least: float
    validation: Tasks
    max_items: int
    sweep: Sweep
    seed: int = 0
    shortlist: Shortlist = field(default_factory=dict)
    on_step: Callable[[str], None] = lambda _: None

    def baselines(self) -> Iterator[tuple[str, Tuned]]:
        """Fit and tune popularity, item-kNN, EASE, iALS and multi-VAE, one after the other."""
        popularity = Popularity.fit(self.liked)
        yield "popularity", Tuned(popularity)
        counts, n_items = CoCounts.count(self.liked, self.max_items), self.liked.shape[1]
        restricted = "" if self.max_items >= n_items else f"covers the {self.max_items} most liked of {n_items} items"
        yield "item-kNN", self._tune("item-kNN", partial(self._item_item, counts, item_knn), popularity, restricted)
        yield "EASE", self._tune("EASE", partial(self._item_item, counts, ease), popularity, restricted)
        yield "iALS", self._tune("iALS", self._ials, popularity)
        vae = partial(self._multi_vae, counts.kept, popularity)
        yield "multi-VAE", self._tune("multi-VAE", vae, popularity, restricted)

    def _tune(self, name: str, fit: Callable[..., Recommender], popularity: Popularity, note: str = "") -> Tuned:
        """Keep the best candidate at each k; ties go to the earlier one, and there to the smaller β."""
        grid = GRIDS[self.sweep][name]
        best: dict[int, float] = {}
        chosen: dict[int, WithPopularity] = {}
        choice: dict[int, dict[str, float]] = {}
        for settings in self.shortlist.get(name) or _combinations(grid):
            self.on_step(", ".join([name, *(f"{key} {value:g}" for key, value in settings.items())]))
            model = fit(**settings)
            for shots in self.validation.protocol.shots:
                scores = mixed_headline(model, popularity, BETAS, self.validation, shots)
                beta = BETAS[scores.argmax()]
                if scores.max() > best.get(shots, -np.inf):
                    best[shots] = scores.max()
                    chosen[shots] = WithPopularity(model, popularity, beta)
                    choice[shots] = {**settings, "beta": beta}
        return Tuned(ByShots(chosen), choice, _with_betas(grid), note)

    def _item_item(
        self, counts: CoCounts, weigh: Callable[[CoCounts, float], NDArray[np.float32]], **setting: float
    ) -> ItemItem:
        (strength,) = setting.values()
        return ItemItem(weigh(counts, strength), counts.kept, counts.n_items, self.liked_at_least)

    def _ials(self, dim: int, regularisation: float, unobserved_weight: float) -> IALS:
        return IALS.fit(
            self.liked,
            self.liked_at_least,
            dim=dim,
            regularisation=regularisation,
            unobserved_weight=unobserved_weight,
            seed=self.seed,
        )

    def _multi_vae(self, kept: NDArray[np.int64], popularity: Popularity, hidden: int, **settings: float) -> MultiVAE:
        shots = [each for each in self.validation.protocol.shots if each]

        def judge(model: MultiVAE) -> float:
            """Mean over k > 0, each with its best β: how it will be used."""
            scores = [mixed_headline(model, popularity, BETAS, self.validation, each).max() for each in shots]
            return float(np.mean(scores))

        schedule = SCHEDULES[self.sweep]
        return fit_multi_vae(
            self.liked, kept, self.liked_at_least, judge, hidden=hidden, schedule=schedule, seed=self.seed, **settings
        )
