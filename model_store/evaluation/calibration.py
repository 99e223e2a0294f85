"""Calibration: how much of each part of the score counts at each k, chosen by the ranking metric on validation users.

The outer loop maximises a likelihood, and on data where a few events say little, or nothing that lasts, it trusts them
too much. So the last step of a training sweeps the shares of the dense part and of the votes. A share is taken only
where it beats what the likelihood found by more than one standard error of the paired difference (the
one-standard-error rule, Breiman et al. 1984), each k is judged together with its neighbours, so that few users do not
decide alone, and a model that does not clearly beat popularity at some k is popularity there.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.evaluation.protocol import HEADLINE, Tasks, judge, top_items
from model_store.meta.network import Network

DENSE_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
VOTE_SHARES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
PAIRS = tuple(product(DENSE_SHARES, VOTE_SHARES))
LEARNED, NOTHING = PAIRS.index((1.0, 1.0)), PAIRS.index((0.0, 0.0))
# What the neighbouring k of the protocol say counts half as much as what the k itself says.
NEIGHBOUR_WEIGHT = 0.5


def calibrate(
    network: Network, validation: Tasks, *, on_shots: Callable[[int], None] = lambda _: None
) -> dict[str, dict[str, Any]]:
    """Set the shares of ``network`` by the validation users.

    Args:
        network: trained; its shares are still 1.
        validation: tasks of the validation users; their shots are the knots of the shares.
        on_shots: told each k before it is swept.

    Returns:
        By k, for the report: the shares taken, and the headline metric before and after.
    """
    shots = validation.protocol.shots
    swept = []
    for each in shots:
        on_shots(each)
        swept.append(_sweep(network, validation, each))
    # Without events and attributes there is nothing to be personal about: popularity, whatever chance says.
    cold = _choose(swept[0]) if validation.events.attributes else NOTHING
    chosen = [_choose(_near(swept, shots, place)) if k else cold for place, k in enumerate(shots)]
    dense, votes = zip(*(PAIRS[pair] for pair in chosen), strict=True)
    network.inner.share.at_knots.copy_(torch.tensor(dense))
    network.gate.share.at_knots.copy_(torch.tensor(votes))
    return {
        str(k): {
            "dense": PAIRS[pair][0],
            "votes": PAIRS[pair][1],
            "before": float(scores[LEARNED].mean()),
            "after": float(scores[pair].mean()),
        }
        for k, scores, pair in zip(shots, swept, chosen, strict=True)
    }


@torch.no_grad()
def _sweep(network: Network, tasks: Tasks, shots: int) -> NDArray[np.float64]:
    """Headline metric of every user under every pair of shares, (n_pairs, n_users)."""
    network.eval()
    tops: list[list[NDArray[np.int64]]] = [[] for _ in PAIRS]
    for run in tasks.batches():
        dense, votes, prior = (part.numpy() for part in network.parts(tasks.support(shots, run)))
        for top, (dense_share, vote_share) in zip(tops, PAIRS, strict=True):
            scores = np.float32(dense_share) * dense + np.float32(vote_share) * votes + prior
            top.append(top_items(scores, tasks, run))
    return np.stack([judge(np.concatenate(top), tasks).per_user[HEADLINE] for top in tops])


def _near(swept: list[NDArray[np.float64]], shots: tuple[int, ...], place: int) -> NDArray[np.float64]:
    """What is known about one k > 0: its own users, and with less weight the next k on either side."""
    others = [other for other in (place - 1, place + 1) if 0 <= other < len(shots) and shots[other]]
    weights = [1.0, *(NEIGHBOUR_WEIGHT for _ in others)]
    return np.asarray(np.average([swept[place], *(swept[other] for other in others)], axis=0, weights=weights))


def _choose(scores: NDArray[np.float64]) -> int:
    """The best pair if it clearly beats what was learned, else that; and nothing unless that clearly beats nothing."""
    best = int(scores.mean(1).argmax())
    chosen = best if _clearly_better(scores[best], scores[LEARNED]) else LEARNED
    return chosen if _clearly_better(scores[chosen], scores[NOTHING]) else NOTHING


def _clearly_better(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the mean paired difference over users exceeds its standard error."""
    gain = one - other
    return bool(gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)))
