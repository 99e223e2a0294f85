"""Learning: validation users choose the order of episodes, and a checkpoint is optional."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from model_store.config import EpisodeOrder, TrainingConfig
from model_store.data.sources import load
from model_store.learning.experiment import Experiment
from model_store.learning.learn import learn, train_best
from model_store.meta.checkpoint import Checkpoint

QUIET = Console(quiet=True)
CONFIG = TrainingConfig(max_epochs=1, dim=8, anchors=16, neighbours=10, cross_fit_below=0)


def drifting(folder: Path) -> Path:
    """Users who like 8 of 20 items first, and then 8 of 20 other items."""
    rng = np.random.default_rng(0)
    rows = [
        {"user_id": user, "item_id": int(item), "value": 5.0, "seq": position}
        for user in range(150)
        for position, item in enumerate([*rng.choice(20, 8, replace=False), *20 + rng.choice(20, 8, replace=False)])
    ]
    folder.mkdir()
    pl.DataFrame(rows).write_parquet(folder / "interactions.parquet")
    return folder


def experiment(folder: Path, **changes: object) -> Experiment:
    config = CONFIG.model_copy(update=changes)
    return Experiment.of(load(str(drifting(folder / "drifting"))).dataset, config, QUIET, (0, 8))


@pytest.mark.parametrize("order", list(EpisodeOrder))
def test_validation_users_choose_the_order_of_episodes(tmp_path: Path, order: EpisodeOrder) -> None:
    learned = learn(experiment(tmp_path, episodes=order, batch_users=16, learning_rate=0.03, max_epochs=6))
    best = EpisodeOrder.CHRONOLOGICAL if order is EpisodeOrder.AUTO else order
    assert learned.config.episodes is best


def test_a_checkpoint_changes_nothing_but_that_a_training_can_be_resumed(tmp_path: Path) -> None:
    shuffled = experiment(tmp_path, episodes=EpisodeOrder.SHUFFLED)
    checkpoint = Checkpoint(tmp_path / "checkpoints", "sha", shuffled.config)
    without, saved = train_best(shuffled), train_best(shuffled, checkpoint)
    assert [epoch["loss"] for epoch in without.progress.history] == [epoch["loss"] for epoch in saved.progress.history]
