"""A meta-training of three epochs, for comparisons and interruptions."""

from __future__ import annotations

import torch

from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.network import Network, build
from model_store.meta.outer import Outer, Progress, meta_train

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=3, patience=3, batch_users=64)


def short_training(
    dataset: Dataset, config: TrainingConfig, checkpoint: Checkpoint | None = None, stop_after: int = 99
) -> Progress:
    """Train on all users, from a checkpoint if there is one; raise KeyboardInterrupt after ``stop_after`` epochs."""
    outer = Outer.begin(build(dataset, dataset.events, config, SHOTS), config)
    progress = checkpoint.resume(outer) if checkpoint else Progress()

    def on_epoch(now: Progress) -> None:
        if checkpoint:
            checkpoint.save(outer, now, every_s=0)
        if now.epoch == stop_after:
            raise KeyboardInterrupt

    def validate(_network: Network) -> float:
        return float(len(progress.history))

    return meta_train(outer, dataset, dataset.events, validate, config, progress=progress, on_epoch=on_epoch)


def same_result(one: Progress, other: Progress) -> bool:
    """Whether two trainings have equal losses and equal bits at the end."""
    losses = [[epoch["loss"] for epoch in progress.history] for progress in (one, other)]
    return losses[0] == losses[1] and all(torch.equal(one.best[name], other.best[name]) for name in one.best)
