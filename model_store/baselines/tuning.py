"""Tuning of the baselines on validation users: a comparison with untuned baselines would prove nothing.

Every baseline gets, at each k, the hyperparameters and the weight beside popularity that serve it best there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.baselines.grids import BETAS, GRIDS, Grid, Settings, Shortlist, Tuning, combinations, with_betas
from model_store.baselines.ials import IALS
from model_store.baselines.item_item import ItemItem, item_knn
from model_store.baselines.mixing import mixed_headline
from model_store.baselines.multi_vae import MultiVAE, VAESchedule, fit_multi_vae
from model_store.baselines.popularity import ByShots, Popularity, WithPopularity
from model_store.config import Sweep
from model_store.evaluation.protocol import Recommender, Tasks
from model_store.meta.parts.ease import CoCounts, ease

SCHEDULES = {Sweep.QUICK: VAESchedule(max_steps=600), Sweep.FULL: VAESchedule(max_steps=2000)}


@dataclass(frozen=True)
class Tuned:
    """A baseline ready to be judged, and what it was tuned to."""

    recommender: Recommender
    tuning: Tuning = Tuning()  # noqa: RUF009 - frozen


def tune(
    candidates: Iterable[tuple[Settings, Recommender]],
    popularity: Popularity,
    validation: Tasks,
    grid: Grid,
    note: str = "",
) -> Tuned:
    """Keep the best candidate at each k; ties go to the earlier one, and there to the smaller β.

    Args:
        candidates: settings with the models fitted by them.
        popularity: the part that is added to each candidate.
        validation: tasks of the validation users.
        grid: the settings tried, without β.
        note: for the report.
    """
    best: dict[int, float] = {}
    chosen: dict[int, WithPopularity] = {}
    choice: dict[int, Settings] = {}
    for settings, model in candidates:
        for shots in validation.protocol.shots:
            scores = mixed_headline(model, popularity, BETAS, validation, shots)
            beta = BETAS[scores.argmax()]
            if scores.max() > best.get(shots, -np.inf):
                best[shots] = scores.max()
                chosen[shots] = WithPopularity(model, popularity, beta)
                choice[shots] = {**settings, "beta": beta}
    return Tuned(ByShots(chosen), Tuning(choice, with_betas(grid), note))


@dataclass(frozen=True)
class Tuner:
    """The training likes that baselines are fitted on, and the validation tasks they are tuned on.

    Attributes:
        liked: (n_users, n_items), likes of the training users.
        liked_at_least: value from which an event of a support counts as liked.
        validation: tasks of the validation users.
        max_items: most liked items that item-kNN, EASE and multi-VAE cover; their matrices are dense.
        sweep: size of the grids.
        seed: of models that start from random numbers.
        shortlist: settings to try of a baseline, in place of its whole grid.
        on_step: called with the name of each candidate before it is fitted.
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
        grid = GRIDS[self.sweep][name]

        def fitted() -> Iterator[tuple[Settings, Recommender]]:
            for settings in self.shortlist.get(name) or combinations(grid):
                self.on_step(", ".join([name, *(f"{key} {value:g}" for key, value in settings.items())]))
                yield settings, fit(**settings)

        return tune(fitted(), popularity, self.validation, grid, note)

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
        personal_shots = [k for k in self.validation.protocol.shots if k]

        def judge(model: MultiVAE) -> float:
            """Mean headline metric over k > 0, at the best β of each k: as the model will be used."""
            scores = [mixed_headline(model, popularity, BETAS, self.validation, k).max() for k in personal_shots]
            return float(np.mean(scores))

        schedule = SCHEDULES[self.sweep]
        return fit_multi_vae(
            self.liked, kept, self.liked_at_least, judge, hidden=hidden, schedule=schedule, seed=self.seed, **settings
        )
