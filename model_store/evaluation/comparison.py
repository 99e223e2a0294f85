"""Comparison of models on the same users: figures at every k, and paired differences with their intervals."""

from __future__ import annotations

import numpy as np

from model_store.evaluation.figures import HEADLINE, MODEL, Difference, KShotFigures
from model_store.evaluation.metrics import bootstrap_interval
from model_store.evaluation.protocol import Judgement

Judgements = dict[str, dict[int, Judgement]]
"""Model → k → judgement."""


def pool(splits: list[Judgements]) -> Judgements:
    """Judgements of several user splits as one: the users of all splits, and the mean coverage."""
    first = splits[0]
    return {name: {k: _concatenate([split[name][k] for split in splits]) for k in first[name]} for name in first}


def _concatenate(judgements: list[Judgement]) -> Judgement:
    per_user = {
        metric: np.concatenate([judgement.per_user[metric] for judgement in judgements])
        for metric in judgements[0].per_user
    }
    return Judgement(per_user, float(np.mean([judgement.coverage for judgement in judgements])))


def figures(judgements: Judgements) -> dict[str, KShotFigures]:
    """Model → k → metric → mean over users with its interval."""
    return {
        name: {k: judgement.summary() for k, judgement in by_shots.items()} for name, by_shots in judgements.items()
    }


def against_best_baseline(judgements: Judgements) -> dict[int, Difference]:
    """K → difference of the product's model to the best baseline at that k; empty without baselines."""
    baselines = {name: by_shots for name, by_shots in judgements.items() if name != MODEL}
    if not baselines:
        return {}
    differences = {}
    for k, judgement in judgements[MODEL].items():
        best = max(baselines, key=lambda name: float(baselines[name][k].per_user[HEADLINE].mean()))
        differences[k] = _difference(judgement, baselines[best][k])._replace(name=best)
    return differences


def against(judgements: Judgements, reference: str) -> dict[str, dict[int, Difference]]:
    """Every other model → k → difference to ``reference``."""
    return {
        name: {k: _difference(judgement, judgements[reference][k]) for k, judgement in by_shots.items()}
        for name, by_shots in judgements.items()
        if name != reference
    }


def _difference(model: Judgement, reference: Judgement) -> Difference:
    """Paired difference with its interval: the bootstrap draws the same users for both (Sakai 2006)."""
    expected = reference.per_user[HEADLINE]
    gains = model.per_user[HEADLINE] - expected
    return Difference(float(expected.mean()), float(gains.mean()), bootstrap_interval(gains))
