"""Comparisons: pooled users, and paired differences."""

import numpy as np
import pytest

from model_store.evaluation.comparison import against, against_best_baseline, figures, pool
from model_store.evaluation.figures import HEADLINE
from model_store.evaluation.protocol import Judgement


def judgement(*ndcg: float, coverage: float = 0.5) -> Judgement:
    return Judgement({HEADLINE: np.array(ndcg)}, coverage)


def test_pooled_splits_have_the_users_of_all_and_the_mean_coverage():
    splits = [{"kshot": {1: judgement(0.2, 0.4, coverage=0.1)}}, {"kshot": {1: judgement(0.9, coverage=0.3)}}]
    pooled = pool(splits)["kshot"][1]
    assert pooled.per_user[HEADLINE].tolist() == [0.2, 0.4, 0.9]
    assert pooled.coverage == pytest.approx(0.2)


def test_figures_are_means_with_intervals():
    (by_shots,) = figures({"kshot": {3: judgement(0.2, 0.4)}}).values()
    mean, (low, high) = by_shots[3][HEADLINE]
    assert mean == pytest.approx(0.3)
    assert low <= mean <= high


def test_every_k_has_its_best_baseline():
    judgements = {
        "kshot": {0: judgement(0.5, 0.5), 1: judgement(0.7, 0.9)},
        "popularity": {0: judgement(0.5, 0.5), 1: judgement(0.1, 0.1)},
        "EASE": {0: judgement(0.3, 0.3), 1: judgement(0.6, 0.6)},
    }
    best = against_best_baseline(judgements)
    assert {k: difference.name for k, difference in best.items()} == {0: "popularity", 1: "EASE"}
    assert best[1].reference == pytest.approx(0.6)
    assert best[1].difference == pytest.approx(0.2)
    assert best[1].is_significant
    assert not best[0].is_significant


def test_without_baselines_there_are_no_differences():
    assert against_best_baseline({"kshot": {0: judgement(0.5)}}) == {}


def test_differences_are_paired_by_user():
    """Users differ more than the models: only the paired interval excludes 0."""
    users = np.linspace(0.1, 0.9, 40)
    judgements = {"kshot": {1: judgement(*users)}, "maml": {1: judgement(*(users - 0.01))}}
    (by_shots,) = against(judgements, "kshot").values()
    assert by_shots[1].difference == pytest.approx(-0.01)
    assert by_shots[1].is_significant
