"""Putting the model beside its baselines: figures at every k, and whether the differences are real."""

from __future__ import annotations

from typing import Any

import numpy as np

from model_store.evaluation.metrics import bootstrap_interval
from model_store.evaluation.protocol import HEADLINE, Judgement

MODEL = "kshot"

# model → k → judgement
Judgements = dict[str, dict[int, Judgement]]


def pool(splits: list[Judgements]) -> Judgements:
    """The judgements of several user splits as one: all their users, and the mean coverage."""
    first = splits[0]
    return {name: {k: _together([each[name][k] for each in splits]) for k in first[name]} for name in first}


def _together(judgements: list[Judgement]) -> Judgement:
    per_user = {
        metric: np.concatenate([each.per_user[metric] for each in judgements]) for metric in judgements[0].per_user
    }
    return Judgement(per_user, float(np.mean([each.coverage for each in judgements])))


def figures(judgements: Judgements) -> dict[str, dict[str, Any]]:
    """Model → k → metric → mean over users; keys are strings, as in JSON."""
    return {
        name: {str(shots): judgement.summary() for shots, judgement in by_shots.items()}
        for name, by_shots in judgements.items()
    }


def against_best_baseline(judgements: Judgements) -> dict[str, dict[str, Any]]:
    """By k: the best baseline there and the paired difference of the model to it, with its 95% interval.

    The interval is a paired bootstrap over users (Sakai 2006): the same users are drawn for both.
    """
    found = {}
    for shots, own in judgements[MODEL].items():
        others = {name: by_shots[shots] for name, by_shots in judgements.items() if name != MODEL}
        if others:
            name = max(others, key=lambda each: float(others[each].per_user[HEADLINE].mean()))
            difference = own.per_user[HEADLINE] - others[name].per_user[HEADLINE]
            found[str(shots)] = {
                "name": name,
                HEADLINE: float(np.mean(others[name].per_user[HEADLINE])),
                "difference": float(difference.mean()),
                "interval": list(bootstrap_interval(difference)),
            }
    return found


def against(judgements: Judgements, reference: str) -> dict[str, dict[str, Any]]:
    """Model → k → difference to ``reference``, relative and absolute, with its paired bootstrap 95% interval."""
    return {
        name: {
            str(shots): _difference(judgement, judgements[reference][shots]) for shots, judgement in by_shots.items()
        }
        for name, by_shots in judgements.items()
        if name != reference
    }


def _difference(one: Judgement, reference: Judgement) -> dict[str, Any]:
    """In the form of one k of ``against_best_baseline``."""
    expected = reference.per_user[HEADLINE]
    difference = one.per_user[HEADLINE] - expected
    return {
        HEADLINE: float(expected.mean()),
        "difference": float(difference.mean()),
        "interval": list(bootstrap_interval(difference)),
    }
