"""Study of new items: train without a tenth of the items, then rank these for test users by content alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from model_store.baselines.grids import Tuning
from model_store.bundle import Registry
from model_store.config import DEFAULT_READ_OPTIONS, JudgingConfig, ReadOptions, TrainingConfig
from model_store.data.sources import load
from model_store.data.split import split_users
from model_store.evaluation import comparison
from model_store.evaluation.cohorts import Cohorts, validation_users
from model_store.evaluation.figures import HEADLINE, MODEL
from model_store.evaluation.protocol import Judgement, Tasks, choose_protocol, evaluate
from model_store.evaluation.recommenders import ServedModel
from model_store.export import write_draft
from model_store.learning.experiment import Experiment
from model_store.learning.learn import learn
from model_store.progress import bar
from model_store.reports.results import KShotResults, Protocol
from model_store.studies.new_items.content_baselines import NewItemTuner
from model_store.studies.new_items.protocol import hold_out, new_item_tasks, without_items

METRICS = (HEADLINE, "recall@20")


def evaluate_new_items(
    source: str,
    config: TrainingConfig,
    judging: JudgingConfig,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> KShotResults:
    """Judge the model and content baselines on items held out of training.

    The model is judged as it would serve: by a bundle whose vectors of the held-out items come from content alone.

    Raises:
        DataError: no item has content, or the protocol applies to no user.
    """
    loaded = load(source, reading)
    console.print(loaded.summary.render())
    everything, seed = loaded.dataset, config.seed
    held_out = hold_out(everything, seed)
    dataset = without_items(everything, held_out)
    split = split_users(dataset.events.n_users, seed)
    cohorts = Cohorts(dataset, split, choose_protocol(dataset, judging.shots), seed)
    test = new_item_tasks(everything, held_out, split.test, cohorts.protocol)
    validation = new_item_tasks(everything, held_out, validation_users(split), cohorts.protocol)
    judgements = {MODEL: _judge_bundle(Experiment(cohorts, config, console), test)}
    tunings: dict[str, Tuning] = {}
    with bar(console, "baselines") as judging_bar:
        tuner = NewItemTuner(dataset, cohorts.liked, held_out, validation, seed, judging_bar.say)
        for name, tuned in tuner.baselines():
            judgements[name] = evaluate(tuned.recommender, test)
            tunings[name] = tuned.tuning
    return KShotResults(
        data=loaded.summary,
        protocol=_protocol(test, seed),
        models=comparison.figures(judgements),
        baselines=tunings,
        best_baseline=comparison.against_best_baseline(judgements),
    )


def _judge_bundle(experiment: Experiment, tasks: Tasks) -> dict[int, Judgement]:
    dataset, config = experiment.cohorts.dataset, experiment.config
    network = learn(experiment).network
    with (
        tempfile.TemporaryDirectory(prefix="kshot-") as folder,
        write_draft(Registry(Path(folder)), dataset, network, config) as draft,
    ):
        return evaluate(ServedModel(draft.open()), tasks)


def _protocol(tasks: Tasks, seed: int) -> Protocol:
    protocol, n_users, n_items = tasks.protocol, len(tasks.users), tasks.n_items
    return Protocol(
        name="new-items",
        shots=protocol.shots,
        min_events=protocol.min_events,
        query_after=protocol.query_after,
        users=n_users,
        items=n_items,
        seed=seed,
        metrics=METRICS,
        caption=(
            f"{n_users:,} test users, {n_items:,} items held out of training ranked. Support: the first k events with "
            "other items. Query: the held-out items that they liked."
        ),
    )
