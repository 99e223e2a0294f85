from model_store.baselines.grids import GRIDS, Tuning, combinations, shortlist, with_betas
from model_store.config import Sweep

GRID = GRIDS[Sweep.QUICK]["item-kNN"]


def test_all_combinations_are_tried_and_the_last_parameter_changes_first():
    assert list(combinations({"a": (1, 2), "b": (3, 4)})) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]


def test_a_shortlist_has_every_chosen_setting_once_and_without_beta():
    choice = {0: {"shrinkage": 0, "beta": 0.1}, 1: {"shrinkage": 50, "beta": 3}, 3: {"shrinkage": 50, "beta": 10}}
    tuning = Tuning(choice, with_betas(GRID))
    assert shortlist({"item-kNN": tuning}, Sweep.QUICK) == {"item-kNN": [{"shrinkage": 0}, {"shrinkage": 50}]}


def test_a_sweep_over_another_grid_shortens_nothing():
    tuning = Tuning({0: {"shrinkage": 0, "beta": 0.1}}, with_betas(GRID))
    assert shortlist({"item-kNN": tuning}, Sweep.FULL) == {}


def test_a_full_sweep_includes_the_quick_one():
    for name, quick in GRIDS[Sweep.QUICK].items():
        full = GRIDS[Sweep.FULL][name]
        assert list(full) == list(quick)
        for parameter, values in quick.items():
            assert set(values) <= set(full[parameter])
