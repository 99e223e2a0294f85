"""Calibration: the weight of each part of the score at each k, chosen by the ranking metric on validation users.

The outer loop maximises a likelihood. On data where a few events say little, or nothing that lasts, it trusts them
too much, and fitted parts take no part in it. So the last step of a training sweeps the weights of the parts.
A weight is changed only if the gain exceeds one standard error of the paired difference (the one-standard-error rule,
Breiman et al. 1984). Each k is judged with its neighbours, so that few users do not decide alone. A model that does not
clearly beat popularity at some k is popularity there.

1. The weights of all trained parts are swept as a grid, the product of the weights that each part tries.
2. Each fitted part is swept by itself, with the regularisation under which it could help most over all k.
3. The trained parts are swept again beside the fitted ones.
4. The result is compared with popularity.

If validation users are few, training users take part too, each with a network that was trained without them
(see ``cross_fit``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.evaluation import metrics
from model_store.evaluation.protocol import Tasks
from model_store.meta.network import Network
from model_store.meta.parts.part import FittedPart, Part
from model_store.meta.statistics import Statistics

# Users at the neighbouring k of the protocol count half as much as those at the k itself.
NEIGHBOUR_WEIGHT = 0.5
DEPTH = 10  # of the headline metric

# The weights of the weighted parts, in the order of the parts.
Mix = tuple[float, ...]


class HeldOutCohort(NamedTuple):
    """Held-out users and a network not trained on them.

    Attributes:
        network: trained; its weights are still 1.
        tasks: of the users; their shots are the knots of the weights.
        statistics: counts over the users that the network was trained on, to fit its fitted parts to.
    """

    network: Network
    tasks: Tasks
    statistics: Statistics


@dataclass(frozen=True)
class WeightsAtShots:
    """The calibration at one k.

    Attributes:
        weights: weight of each part by its name.
        before: headline metric of the held-out users with the weights of the training.
        after: headline metric with the weights chosen.
    """

    weights: dict[str, float]
    before: float
    after: float


@dataclass(frozen=True)
class ChosenWeights:
    """The weights of the parts.

    Attributes:
        users: held-out users that they were chosen on.
        titles: title of each weighted part by its name.
        regularisations: regularisation of each fitted part that is used, by its name.
        shots: the weights by k.
    """

    users: int
    titles: dict[str, str]
    regularisations: dict[str, float]
    shots: dict[int, WeightsAtShots]


class Swept(NamedTuple):
    """Mixes tried at one k, and the headline metric of every held-out user under each, float64 (n_mixes, n_users)."""

    mixes: list[Mix]
    scores: NDArray[np.float64]


def calibrate(cohorts: Sequence[HeldOutCohort], *, on_step: Callable[[str], None] = lambda _: None) -> ChosenWeights:
    """Set the weights of the parts of the first cohort's network, and fit its fitted parts, by all cohorts' users.

    Args:
        cohorts: at least one; of one data set, one protocol and one configuration.
        on_step: gets the name of each step before it begins.
    """
    search = _Search(cohorts, on_step)
    mixes, regularisations = search.best_mixes()
    final = search.sweep([[search.nothing, mix, search.learned] for mix in mixes])
    # A model that is not better than popularity is popularity; its gain may be chance.
    against_nothing = [Swept(swept.mixes[:2], swept.scores[:2]) for swept in final]
    mixes = search.improve(against_nothing, [search.nothing] * len(mixes))
    used = search.install(mixes)
    return ChosenWeights(
        users=sum(len(cohort.tasks.users) for cohort in cohorts),
        titles={part.name: part.title for part in search.parts},
        regularisations={name: chosen for name, chosen in regularisations.items() if name in used},
        shots={
            k: WeightsAtShots(
                weights=dict(zip((part.name for part in search.parts), mix, strict=True)),
                before=float(swept.scores[swept.mixes.index(search.learned)].mean()),
                after=float(swept.scores[swept.mixes.index(mix)].mean()),
            )
            for k, mix, swept in zip(search.shots, mixes, final, strict=True)
        },
    )


class _Search:
    """The search for the best mix at each k.

    Attributes:
        parts: the weighted parts of the network to calibrate.
        shots: the k that mixes are chosen at.
        learned: the mix of the training.
        nothing: the mix of popularity alone.
    """

    def __init__(self, cohorts: Sequence[HeldOutCohort], on_step: Callable[[str], None]) -> None:
        self._cohorts, self._on_step = cohorts, on_step
        for cohort in cohorts:
            cohort.network.eval()
        self.parts: list[Part] = cohorts[0].network.weighted_parts
        self.shots = _personal_shots(cohorts[0].tasks)
        self.learned: Mix = tuple(0.0 if isinstance(part, FittedPart) else 1.0 for part in self.parts)
        self.nothing: Mix = (0.0,) * len(self.parts)

    def best_mixes(self) -> tuple[list[Mix], dict[str, float]]:
        """The best mix at each k, and the regularisation of each fitted part by its name."""
        self._on_step(" and ".join(part.title for part in self.parts if not isinstance(part, FittedPart)))
        mixes = self._improve_trained([self.learned] * len(self.shots))
        regularisations = {}
        for index, part in enumerate(self.parts):
            if isinstance(part, FittedPart):
                regularisations[part.name], swept = self._fit(part, index, mixes)
                mixes = self.improve(swept, mixes)
        self._on_step("all parts")
        return self._improve_trained(mixes), regularisations

    def _improve_trained(self, mixes: list[Mix]) -> list[Mix]:
        """The best mixes over every combination of the trained parts' weights; fitted parts keep theirs."""
        grids = [
            list(product(*((w,) if isinstance(part, FittedPart) else part.weights for part, w in self._with(mix))))
            for mix in mixes
        ]
        return self.improve(self.sweep(grids), mixes)

    def _with(self, mix: Mix) -> Iterator[tuple[Part, float]]:
        return zip(self.parts, mix, strict=True)

    def _fit(self, part: FittedPart, index: int, mixes: list[Mix]) -> tuple[float, list[Swept]]:
        """Fit a part with the regularisation under which it could help most, summed over all k."""
        tried = [[(*mix[:index], weight, *mix[index + 1 :]) for weight in part.weights] for mix in mixes]
        fitters = [cohort.network.part(type(part)).fitter(cohort.statistics) for cohort in self._cohorts]
        swept: dict[float, list[Swept]] = {}
        for regularisation in part.regularisations:
            self._on_step(f"{part.title}, regularisation {regularisation:g}")
            for fit in fitters:
                fit(regularisation)
            swept[regularisation] = self.sweep(tried)
        best = max(swept, key=lambda chosen: sum(scores.mean(1).max() for _, scores in swept[chosen]))
        for fit in fitters:
            fit(best)
        return best, swept[best]

    def sweep(self, tried: list[list[Mix]]) -> list[Swept]:
        """Judge the mixes for each k by the users of all cohorts."""
        by_cohort = [_judge(cohort, self.parts, tried) for cohort in self._cohorts]
        return [Swept(mixes, np.concatenate(scores, axis=1)) for mixes, *scores in zip(tried, *by_cohort, strict=True)]

    def improve(self, swept: list[Swept], current: list[Mix]) -> list[Mix]:
        """At each k the best mix tried, if it is clearly better than the current one there."""
        improved = []
        for index, (mixes, _) in enumerate(swept):
            scores = _smoothed(self.shots, [scores for _, scores in swept], index)
            best, now = int(scores.mean(1).argmax()), mixes.index(current[index])
            improved.append(mixes[best if _clearly_better(scores[best], scores[now]) else now])
        return improved

    def install(self, mixes: list[Mix]) -> set[str]:
        """Set the weights of all parts and clear fitted parts without any; returns the names of the parts in use."""
        knots = len(self._cohorts[0].tasks.protocol.shots)
        # At k = 0 of users without attributes nothing is known: popularity, whatever chance says.
        at_knots = [self.nothing] * (knots - len(mixes)) + mixes
        used = set()
        for part, weights in zip(self.parts, zip(*at_knots, strict=True), strict=True):
            part.weight.at_knots.copy_(torch.tensor(weights))
            if any(weights):
                used.add(part.name)
            elif isinstance(part, FittedPart):
                part.clear()
        return used


def _personal_shots(tasks: Tasks) -> list[int]:
    """The k at which something is known about a user; without attributes, k = 0 is none of them."""
    return [k for k in tasks.protocol.shots if k or tasks.events.attributes]


@torch.no_grad()
def _judge(cohort: HeldOutCohort, parts: list[Part], tried: list[list[Mix]]) -> list[NDArray[np.float64]]:
    """The headline metric of the cohort's users under each mix, by k, (n_mixes, n_users)."""
    tasks = cohort.tasks
    n_relevant = np.array([len(query) for query in tasks.queries])
    judged = []
    for k, mixes in zip(_personal_shots(tasks), tried, strict=True):
        hits: list[list[NDArray[np.bool_]]] = [[] for _ in mixes]
        for run in tasks.batches():
            by_part = cohort.network.scores_by_part(tasks.support(k, run))
            weighted = [by_part.pop(part.name) for part in parts]
            unweighted = _masked(reduce(torch.add, by_part.values()), tasks, run)
            for mix, mix_hits in zip(mixes, hits, strict=True):
                terms = (weight * scores for weight, scores in zip(mix, weighted, strict=True))
                mix_hits.append(_hits(reduce(torch.add, terms) + unweighted, tasks, run))
        judged.append(np.stack([metrics.ndcg(np.concatenate(runs), n_relevant, DEPTH) for runs in hits]))
    return judged


def _masked(scores: Tensor, tasks: Tasks, run: slice) -> Tensor:
    """A copy of ``scores`` that is −inf at the items that are not to be listed."""
    masked = scores.clone()
    for row, items in zip(masked, tasks.masked[run], strict=True):
        row[torch.from_numpy(items).long()] = -torch.inf
    return masked


def _hits(scores: Tensor, tasks: Tasks, run: slice) -> NDArray[np.bool_]:
    best = scores.topk(min(DEPTH, scores.shape[1]), dim=1).indices.numpy()
    relevant = np.zeros(scores.shape, dtype=np.bool_)
    for row, query in zip(relevant, tasks.queries[run], strict=True):
        row[query] = True
    return np.take_along_axis(relevant, best, axis=1)


def _smoothed(shots: list[int], scores: list[NDArray[np.float64]], index: int) -> NDArray[np.float64]:
    """The scores at one k, averaged with those at the next k > 0 on either side, which weigh less; k = 0 is alone."""
    neighbours = (index - 1, index + 1) if shots[index] else ()
    near = [neighbour for neighbour in neighbours if 0 <= neighbour < len(shots) and shots[neighbour]]
    weights = [1.0, *(NEIGHBOUR_WEIGHT for _ in near)]
    return np.asarray(np.average([scores[index], *(scores[neighbour] for neighbour in near)], axis=0, weights=weights))


def _clearly_better(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the mean paired difference over users exceeds its standard error, which one user does not have."""
    gain = one - other
    return len(gain) > 1 and bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))
