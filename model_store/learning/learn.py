"""Learning: from an experiment to a network ready to be exported, with the choices that validation users made."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from model_store.config import EpisodeOrder, TrainingConfig
from model_store.evaluation.figures import HEADLINE
from model_store.evaluation.protocol import Tasks, evaluate
from model_store.evaluation.recommenders import TrainingModel
from model_store.learning.calibrate import ChosenWeights, HeldOutCohort, calibrate
from model_store.learning.cross_fit import cross_fit
from model_store.learning.experiment import Experiment
from model_store.learning.half_life import choose_half_life
from model_store.meta.algorithms import begin
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.distributed import ProcessGroup
from model_store.meta.items.mapping import map_content
from model_store.meta.network import Network
from model_store.meta.outer import Progress, broadcast_start, meta_train
from model_store.progress import bar


class Learned(NamedTuple):
    """The outcome of a training.

    Attributes:
        network: ready to be exported.
        progress: of the outer loop.
        calibration: weights of the parts at each k, with the validation score before and after.
        content: how well content alone stands for an item's history.
        config: of the training, with the choices that the data made.
    """

    network: Network
    progress: Progress
    calibration: ChosenWeights
    content: dict[str, float]
    config: TrainingConfig


class Trained(NamedTuple):
    """The outcome of an outer loop, and its configuration."""

    network: Network
    progress: Progress
    config: TrainingConfig


def learn(experiment: Experiment, checkpoint: Checkpoint | None = None) -> Learned:
    """Meta-train on the training users and choose by the validation users; test users are not read.

    Args:
        experiment: data, users and configuration.
        checkpoint: file to resume from and to save to; a training without it cannot be resumed.
    """
    cohorts = experiment.cohorts
    network, progress, config = train_best(experiment, checkpoint)
    names = cohorts.dataset.features.names if config.content else []
    content = map_content(network.encoder, names, cohorts.training, cohorts.liked_at_least, config.seed)
    held_out = [HeldOutCohort(network, cohorts.validation, cohorts.statistics)]
    with bar(experiment.console, "calibration") as calibrating:
        if len(cohorts.validation.users) < config.cross_fit_below:
            # As many epochs as the best network took: the rest would only wait for a better one.
            brief = config.model_copy(update={"max_epochs": progress.best_epoch})
            held_out += cross_fit(
                cohorts.dataset,
                cohorts.split.train,
                cohorts.protocol,
                brief,
                partial(validate, cohorts.validation),
                on_fold=calibrating.say,
            )
        calibration = calibrate(held_out, on_step=calibrating.say)
    return Learned(network, progress, calibration, content, config)


def train_best(experiment: Experiment, checkpoint: Checkpoint | None = None) -> Trained:
    """Train with each setting that the configuration leaves open; the network with the best validation score."""
    config = experiment.config
    if config.forgetting and config.half_life is None:
        experiment = experiment.configured(half_life=choose_half_life(experiment.cohorts))
    candidates = [experiment.configured(episodes=order) for order in _orders(experiment)]
    trained = [_train(candidate, checkpoint and checkpoint.beside(candidate.config)) for candidate in candidates]
    return max(trained, key=lambda candidate: candidate.progress.best_score)


def _orders(experiment: Experiment) -> list[EpisodeOrder]:
    """Orders of the events of an episode to try."""
    if experiment.config.episodes is not EpisodeOrder.AUTO:
        return [experiment.config.episodes]
    if experiment.cohorts.dataset.has_order:
        return [EpisodeOrder.SHUFFLED, EpisodeOrder.CHRONOLOGICAL]
    return [EpisodeOrder.SHUFFLED]


def _train(experiment: Experiment, checkpoint: Checkpoint | None) -> Trained:
    """Run the outer loop from its start, or from where a checkpoint left it, to its best epoch."""
    cohorts, config, console = experiment.cohorts, experiment.config, experiment.console
    with bar(console, "meta-training", total=config.max_epochs) as training_bar:
        training_bar.say(f"{config.episodes} episodes: counting co-occurrences, SVD")
        outer = begin(cohorts.dataset, cohorts.training, config, cohorts.protocol.shots)
        outer.group = ProcessGroup.current()
        saved = checkpoint if outer.group.is_first else None

        def on_epoch(progress: Progress) -> None:
            last = progress.history[-1]
            training_bar.set(
                progress.epoch,
                f"{config.episodes} episodes: loss {last['loss']:.3f}  validation {HEADLINE} {last['validation']:.4f}  "
                f"best {progress.best_score:.4f} (epoch {progress.best_epoch})",
            )
            if saved:
                saved.save(outer, progress)

        progress = broadcast_start(outer, saved.resume(outer) if saved else Progress())
        if progress.epoch:
            console.print(f"resuming after epoch {progress.epoch}")
        score = partial(validate, cohorts.validation)
        meta_train(outer, cohorts.dataset, cohorts.training, score, config, progress=progress, on_epoch=on_epoch)
    return Trained(outer.network, progress, config)


def validate(tasks: Tasks, network: Network) -> float:
    """Mean headline metric of ``network`` over the k at which a user's events or attributes are known."""
    judgements = evaluate(TrainingModel(network), tasks)
    personal = [judgement for k, judgement in judgements.items() if k or tasks.events.attributes]
    return float(np.mean([judgement.per_user[HEADLINE].mean() for judgement in personal]))
