"""Learning: from the users of a split to a network ready to be exported, with what the data had to say on the way."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from model_store.config import EpisodeOrder, TrainingConfig
from model_store.data.schema import Dataset, Events
from model_store.data.split import UserSplit
from model_store.evaluation.protocol import HEADLINE, KShot, Tasks, evaluate, make_tasks
from model_store.evaluation.recommenders import TrainingModel
from model_store.learning.calibrate import Witness, calibrate
from model_store.learning.cross_fit import cross_fit
from model_store.learning.half_life import choose_half_life
from model_store.meta.algorithms import begin
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.distributed import World
from model_store.meta.items.mapping import map_content
from model_store.meta.network import Network, count
from model_store.meta.outer import Progress, meta_train, start_together
from model_store.meta.parts.ease import CoCounts
from model_store.progress import bar

Results = dict[str, Any]

# Validation is read after every epoch; so many users are enough to choose by.
MAX_VALIDATION_USERS = 1000
# The linear memory covers the most liked items: fitting it takes a dense matrix of them and its inverse.
MAX_LINEAR_ITEMS = 6000


class Learned(NamedTuple):
    """What a training leaves.

    Attributes:
        network: ready to be exported.
        progress: how it came about.
        calibration: what it chose, by k.
        content: how well content alone stands for an item's history.
        config: how it was trained.
    """

    network: Network
    progress: Progress
    calibration: Results
    content: dict[str, float]
    config: TrainingConfig

    def as_dict(self) -> Results:
        """For the report."""
        return {
            "history": self.progress.history,
            "best_epoch": self.progress.best_epoch,
            "seconds": round(self.progress.elapsed_s, 1),
            "calibration": self.calibration,
            "content": self.content,
            "config": self.config.model_dump(),
        }


def learn(
    dataset: Dataset,
    split: UserSplit,
    protocol: KShot,
    config: TrainingConfig,
    checkpoint: Checkpoint,
    console: Console,
) -> Learned:
    """Meta-train on the training users of ``split``; choose by its validation users, read nobody else."""
    training = dataset.events.select(split.train)
    validation = make_tasks(dataset, split.validation[:MAX_VALIDATION_USERS], protocol)
    network, progress, config = best_trained(dataset, training, validation, config, checkpoint, console)
    names = dataset.features.names if config.content else []
    content = map_content(network.encoder, names, training, dataset.feedback.liked_at_least, config.seed)
    liked = count(training, dataset.n_items, dataset.feedback.liked_at_least).liked
    witnesses = [Witness(network, validation, CoCounts.count(liked, MAX_LINEAR_ITEMS))]
    with bar(console, "calibration") as calibrating:
        if len(validation.users) < config.cross_fit_below:
            # As long as the best network took: beyond that they would only wait for a better epoch.
            brief = config.model_copy(update={"max_epochs": progress.best_epoch})
            validate = partial(_validate, validation)
            witnesses += cross_fit(
                dataset, split.train, protocol, brief, validate, MAX_LINEAR_ITEMS, on_fold=calibrating.say
            )
        calibration = calibrate(witnesses, config.neighbours, on_step=calibrating.say)
    return Learned(network, progress, calibration, content, config)


class Trained(NamedTuple):
    """What an outer loop leaves, and how it was configured."""

    network: Network
    progress: Progress
    config: TrainingConfig


def best_trained(
    dataset: Dataset,
    training: Events,
    validation: Tasks,
    config: TrainingConfig,
    checkpoint: Checkpoint,
    console: Console,
) -> Trained:
    """The network that validation users like best of those that the configuration leaves to the data."""
    if config.forgetting and config.half_life is None:
        chosen = choose_half_life(dataset, training, validation, config.seed)
        config = config.model_copy(update={"half_life": chosen})
    tried = [
        _meta_train(dataset, training, validation, candidate, checkpoint.beside(candidate), console)
        for candidate in _candidates(config, has_order=dataset.has_order)
    ]
    return max(tried, key=lambda trained: trained.progress.best_score)


def _candidates(config: TrainingConfig, *, has_order: bool) -> list[TrainingConfig]:
    if config.episodes is not EpisodeOrder.AUTO:
        return [config]
    orders = (EpisodeOrder.SHUFFLED, EpisodeOrder.CHRONOLOGICAL) if has_order else (EpisodeOrder.SHUFFLED,)
    return [config.model_copy(update={"episodes": order}) for order in orders]


def _meta_train(
    dataset: Dataset,
    training: Events,
    validation: Tasks,
    config: TrainingConfig,
    checkpoint: Checkpoint,
    console: Console,
) -> Trained:
    """The outer loop from its start, or from where a checkpoint left it, to its best epoch."""
    with bar(console, "meta-training", total=config.max_epochs) as training_bar:
        training_bar.say(f"{config.episodes} episodes: counting co-occurrences, SVD")
        outer = begin(dataset, training, config, validation.protocol.shots)
        outer.world = World.current()

        def on_epoch(progress: Progress) -> None:
            last = progress.history[-1]
            training_bar.set(
                progress.epoch,
                f"{config.episodes} episodes: loss {last['loss']:.3f}  validation {HEADLINE} {last['validation']:.4f}  "
                f"best {progress.best_score:.4f} (epoch {progress.best_epoch})",
            )
            if outer.world.is_first:
                checkpoint.save(outer, progress)

        progress = start_together(outer, checkpoint.resume(outer) if outer.world.is_first else Progress())
        if progress.epoch:
            console.print(f"resuming after epoch {progress.epoch}")
        validate = partial(_validate, validation)
        meta_train(outer, dataset, training, validate, config, progress=progress, on_epoch=on_epoch)
    return Trained(outer.network, progress, config)


def _validate(validation: Tasks, network: Network) -> float:
    """Mean headline metric over all k at which the model says something of its own."""
    judged = evaluate(TrainingModel(network), validation)
    known = [judgement for shots, judgement in judged.items() if shots or validation.events.attributes]
    return float(np.mean([judgement.per_user[HEADLINE].mean() for judgement in known]))
