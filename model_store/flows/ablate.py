"""Ablations of a trained model: its parts, and if requested variants of its training, on the test users."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from model_store.evaluation.cohorts import Cohorts
from model_store.evaluation.comparison import Judgements
from model_store.learning.experiment import Experiment
from model_store.learning.learn import Learned, learn
from model_store.meta.network import Network
from model_store.progress import bar
from model_store.studies.ablation import Variant, take_apart, train_otherwise


def ablate(learned: Learned, experiment: Experiment, *, retrain: bool) -> Judgements:
    """Judge the model without each part and each part alone; with ``retrain``, variants of the training too."""
    cohorts, console = experiment.cohorts, experiment.console
    tasks, facts, has_time = cohorts.test, cohorts.facts, cohorts.dataset.has_time
    with bar(console, "parts") as ablating:
        ablating.say("each left out, each alone")
        judgements = take_apart(learned.network, tasks, facts, has_time=has_time)
    if retrain:
        on_variant = partial(console.print, "ablation:")
        train = partial(_train_variant, experiment)
        judgements |= train_otherwise(learned.config, train, tasks, facts, has_time=has_time, on_variant=on_variant)
    return judgements


def _train_variant(experiment: Experiment, variant: Variant) -> Network:
    cohorts = experiment.cohorts if variant.ages else _without_times(experiment.cohorts)
    return learn(replace(experiment, cohorts=cohorts, config=variant.config)).network


def _without_times(cohorts: Cohorts) -> Cohorts:
    dataset = cohorts.dataset
    events = replace(dataset.events, times=np.zeros_like(dataset.events.times))
    return replace(cohorts, dataset=replace(dataset, events=events))
