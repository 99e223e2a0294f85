"""Grids of hyperparameters that the baselines are tuned over, and outcomes of tunings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from model_store.config import Sweep

Number = int | float
"""A type of its own, because a size read back from a report must stay an integer."""
Settings = dict[str, Number]
"""Hyperparameter → value."""
Grid = dict[str, tuple[Number, ...]]
"""Hyperparameter → values; all combinations are tried."""

# Weights β of a baseline beside log popularity.
BETAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

# Baseline → grid.
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


@dataclass(frozen=True)
class Tuning:
    """Outcome of tuning a baseline on the validation users.

    Attributes:
        choice: k → the settings with the best headline metric there, "beta" among them.
        grid: the values tried.
        note: a restriction that a reader must know, e.g. the number of items covered; "" if none.
    """

    choice: dict[int, Settings] = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)
    note: str = ""


Shortlist = dict[str, list[Settings]]
"""Baseline → settings to try in place of its whole grid."""


def combinations(grid: Grid) -> Iterator[Settings]:
    """All settings of a grid; the last hyperparameter changes fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def with_betas(grid: Grid) -> Grid:
    """``grid`` with the weights beside log popularity."""
    return {**grid, "beta": BETAS}


def shortlist(tunings: Mapping[str, Tuning], sweep: Sweep) -> Shortlist:
    """The settings that an earlier sweep chose at some k, without β; all others lost on the same users.

    Args:
        tunings: baseline → outcome of a sweep on the same training and validation users.
        sweep: the sweep to shorten; a baseline that was tuned over another grid is left out.
    """
    shortened: Shortlist = {}
    for name, grid in GRIDS[sweep].items():
        tuning = tunings.get(name)
        if tuning and tuning.grid == with_betas(grid):
            chosen = [{key: choice[key] for key in grid} for choice in tuning.choice.values()]
            shortened[name] = [settings for index, settings in enumerate(chosen) if settings not in chosen[:index]]
    return shortened
