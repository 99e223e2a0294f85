"""Calibration: how much of each part of the score counts at each k, chosen by the ranking metric on validation users.

The outer loop maximises a likelihood, and on data where a few events say little, or nothing that lasts, it trusts them
too much; and the linear memory takes no part in it. So the last step of a training sweeps the shares of the dense part,
the votes and the linear memory. A share is changed only where that is better by more than one standard error of the
paired difference (the one-standard-error rule, Breiman et al. 1984), each k is judged together with its neighbours, so
that few users do not decide alone, and a model that does not clearly beat popularity at some k is popularity there.

Where the validation users are few, training users have a say too, each about a network that was trained without them
(see ``cross_fitting``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.evaluation import metrics
from model_store.evaluation.protocol import Tasks
from model_store.meta.network import Network
from model_store.meta.parts.ease import CoCounts

DENSE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
VOTE_SHARES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
LINEAR_SHARES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0)
REGULARISATIONS = (30.0, 100.0, 300.0, 1000.0)
# What the neighbouring k of the protocol say counts half as much as what the k itself says.
NEIGHBOUR_WEIGHT = 0.5
DEPTH = 10  # of the headline metric


class Mix(NamedTuple):
    """Shares of the three parts beside the popularity prior."""

    dense: float
    votes: float
    linear: float


LEARNED, NOTHING = Mix(1.0, 1.0, 0.0), Mix(0.0, 0.0, 0.0)


class Witness(NamedTuple):
    """Users who have a say in a calibration, and a network that never learned from them.

    Attributes:
        network: trained; its shares are still 1.
        tasks: of the users; their shots are the knots of the shares.
        counts: co-occurrences of the users that the network did learn from, to fit its linear memory on.
    """

    network: Network
    tasks: Tasks
    counts: CoCounts


# Of each k, the mixes tried and the headline metric of every validation user under each, (n_mixes, n_users).
Swept = list[tuple[list[Mix], NDArray[np.float64]]]


def calibrate(
    witnesses: Sequence[Witness], neighbours: int, *, on_step: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Set the shares of the first witness's network, and its linear memory, by what all witnesses say.

    Args:
        witnesses: at least one; of one data set, one protocol and one configuration.
        neighbours: length of the linear memory's lists.
        on_step: told each step before it is taken.

    Returns:
        For the report: the number of users asked, the linear memory's regularisation, and by k the shares taken and
        the headline metric before and after.
    """
    network, validation, counts = witnesses[0]
    for witness in witnesses:
        witness.network.eval()
    shots = _personal_shots(validation)
    on_step("dense part and votes")
    mixes = _improve(shots, _sweep(witnesses, [_pairs(LEARNED) for _ in shots]), [LEARNED] * len(shots))
    regularisation, swept = _fit_linear(witnesses, neighbours, mixes, on_step)
    mixes = _improve(shots, swept, mixes)
    on_step("all parts together")
    mixes = _improve(shots, _sweep(witnesses, [_pairs(mix) for mix in mixes]), mixes)
    final = _sweep(witnesses, [[NOTHING, mix, LEARNED] for mix in mixes])
    # Not better than nothing: popularity, whatever chance says.
    mixes = _improve(shots, [(tried[:2], scores[:2]) for tried, scores in final], [NOTHING] * len(shots))
    _set_shares(network, validation.protocol.shots, mixes)
    used = any(mix.linear for mix in mixes)
    if used:
        network.linear.remember(counts, regularisation, neighbours)
    else:
        network.linear.forget()
    return {
        "users": sum(len(witness.tasks.users) for witness in witnesses),
        "regularisation": regularisation if used else None,
        "shots": {
            str(k): {
                **mix._asdict(),
                "before": float(scores[tried.index(LEARNED)].mean()),
                "after": float(scores[tried.index(mix)].mean()),
            }
            for k, mix, (tried, scores) in zip(shots, mixes, final, strict=True)
        },
    }


def _personal_shots(tasks: Tasks) -> list[int]:
    """The k at which something is known about a user: without attributes, that is not 0."""
    return [k for k in tasks.protocol.shots if k or tasks.events.attributes]


def _pairs(mix: Mix) -> list[Mix]:
    """Every share of the dense part with every share of the votes, beside what ``mix`` gives the linear memory."""
    return [Mix(dense, votes, mix.linear) for dense, votes in product(DENSE_SHARES, VOTE_SHARES)]


def _fit_linear(
    witnesses: Sequence[Witness], neighbours: int, mixes: list[Mix], on_step: Callable[[str], None]
) -> tuple[float, Swept]:
    """Keep the regularisation under which the linear memory could help most, all k together."""
    tried = [[mix._replace(linear=linear) for linear in LINEAR_SHARES] for mix in mixes]
    found: dict[float, Swept] = {}
    for regularisation in REGULARISATIONS:
        on_step(f"linear memory, regularisation {regularisation:g}")
        _remember(witnesses, regularisation, neighbours)
        found[regularisation] = _sweep(witnesses, tried)
    best = max(found, key=lambda each: sum(scores.mean(1).max() for _, scores in found[each]))
    _remember(witnesses, best, neighbours)
    return best, found[best]


def _remember(witnesses: Sequence[Witness], regularisation: float, neighbours: int) -> None:
    for witness in witnesses:
        witness.network.linear.remember(witness.counts, regularisation, neighbours)


def _set_shares(network: Network, shots: tuple[int, ...], mixes: list[Mix]) -> None:
    # Where nothing is known about a user it is popularity, whatever chance says.
    at_knots = [NOTHING] * (len(shots) - len(mixes)) + mixes
    parts = (network.inner.share, network.gate.share, network.linear.share)
    for part, shares in zip(parts, zip(*at_knots, strict=True), strict=True):
        part.at_knots.copy_(torch.tensor(shares))


def _sweep(witnesses: Sequence[Witness], tried: list[list[Mix]]) -> Swept:
    """Judge the mixes given for each k by the users of all witnesses."""
    by_witness = [_ask(witness, tried) for witness in witnesses]
    return [(mixes, np.concatenate(scores, axis=1)) for mixes, *scores in zip(tried, *by_witness, strict=True)]


@torch.no_grad()
def _ask(witness: Witness, tried: list[list[Mix]]) -> list[NDArray[np.float64]]:
    """Of each k, the headline metric of the witness's users under each mix, (n_mixes, n_users)."""
    tasks = witness.tasks
    n_relevant = np.array([len(query) for query in tasks.queries])
    asked = []
    for k, mixes in zip(_personal_shots(tasks), tried, strict=True):
        hits: list[list[NDArray[np.bool_]]] = [[] for _ in mixes]
        for run in tasks.batches():
            parts = witness.network.parts(tasks.support(k, run))
            masked = _mask(tasks, run, parts.prior)
            for mix, found in zip(mixes, hits, strict=True):
                scores = mix.dense * parts.dense + mix.votes * parts.votes + mix.linear * parts.linear + masked
                found.append(_hits(scores, tasks, run))
        asked.append(np.stack([metrics.ndcg(np.concatenate(each), n_relevant, DEPTH) for each in hits]))
    return asked


def _mask(tasks: Tasks, run: slice, prior: Tensor) -> Tensor:
    """The prior's part of the scores, −inf where an item is not to be listed."""
    masked = prior.clone()
    for row, rows in enumerate(tasks.masked[run]):
        masked[row, torch.from_numpy(rows).long()] = -torch.inf
    return masked


def _hits(scores: Tensor, tasks: Tasks, run: slice) -> NDArray[np.bool_]:
    best = scores.topk(min(DEPTH, scores.shape[1]), dim=1).indices.numpy()
    asked = np.zeros(scores.shape, dtype=np.bool_)
    for row, query in zip(asked, tasks.queries[run], strict=True):
        row[query] = True
    return np.take_along_axis(asked, best, axis=1)


def _improve(shots: list[int], swept: Swept, current: list[Mix]) -> list[Mix]:
    """At each k the best mix tried, if it is clearly better than the current one there."""
    improved = []
    for place, (mixes, _) in enumerate(swept):
        scores = _near(shots, [scores for _, scores in swept], place)
        best, now = int(scores.mean(1).argmax()), mixes.index(current[place])
        improved.append(mixes[best if _clearly_better(scores[best], scores[now]) else now])
    return improved


def _near(shots: list[int], scores: list[NDArray[np.float64]], place: int) -> NDArray[np.float64]:
    """What is known about one k: its own users, and with less weight the next k > 0 on either side; k = 0 is alone."""
    neighbours = (place - 1, place + 1) if shots[place] else ()
    others = [other for other in neighbours if 0 <= other < len(shots) and shots[other]]
    weights = [1.0, *(NEIGHBOUR_WEIGHT for _ in others)]
    return np.asarray(np.average([scores[place], *(scores[other] for other in others)], axis=0, weights=weights))


def _clearly_better(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the mean paired difference over users exceeds its standard error, which one user does not have."""
    gain = one - other
    return len(gain) > 1 and bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))
