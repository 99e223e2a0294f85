"""An experiment: one value for data, users, configuration and progress."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from model_store.config import TrainingConfig
from model_store.data.sources import load
from model_store.learning.experiment import Experiment


@pytest.fixture(scope="module")
def experiment(source: Path) -> Experiment:
    return Experiment.of(load(str(source)).dataset, TrainingConfig(seed=3), Console(quiet=True), (0, 1, 3))


def test_the_seed_of_the_configuration_splits_the_users(experiment: Experiment) -> None:
    assert experiment.cohorts.seed == 3
    assert experiment.cohorts.protocol.shots == (0, 1, 3)


def test_other_settings_keep_the_users_and_everything_counted_on_them(experiment: Experiment) -> None:
    liked = experiment.cohorts.liked
    changed = experiment.configured(dim=8, content=False)
    assert (changed.config.dim, changed.config.content, changed.config.seed) == (8, False, 3)
    assert changed.cohorts.liked is liked
