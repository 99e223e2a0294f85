"""Does content place an item that nobody has seen? Train without a tenth of the items, then ask for those."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console

from model_store.bundle import Registry
from model_store.config import DEFAULT_READ_OPTIONS, JudgingConfig, ReadOptions, TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.data.split import UserSplit, split_users
from model_store.evaluation import comparison
from model_store.evaluation.protocol import HEADLINE, Judgement, KShot, Tasks, choose_protocol, evaluate
from model_store.evaluation.recommenders import ServedModel
from model_store.export import write_draft
from model_store.jobs import Results
from model_store.learning.learn import MAX_VALIDATION_USERS, learn
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.network import count
from model_store.progress import bar
from model_store.studies.new_items.protocol import NewItemTuner, hold_out, new_item_tasks, without_items

METRICS = (HEADLINE, "recall@20")


def evaluate_new_items(
    source: str,
    config: TrainingConfig,
    judging: JudgingConfig,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> Results:
    """Judge the model and content baselines on items held out of training.

    The model is judged as it would be served: by a bundle, in which the held-out items stand with their content only.

    Raises:
        DataError: no item has content, or no user can be asked.
    """
    loaded = load(source, reading)
    console.print(loaded.summary.render())
    everything, seed = loaded.dataset, config.seed
    held_out = hold_out(everything, seed)
    dataset = without_items(everything, held_out)
    split = split_users(dataset.events.n_users, seed)
    protocol = choose_protocol(dataset, judging.shots)
    test = new_item_tasks(everything, held_out, split.test, protocol)
    validation = new_item_tasks(everything, held_out, split.validation[:MAX_VALIDATION_USERS], protocol)
    judgements = {comparison.MODEL: _judge_bundle(dataset, split, protocol, test, config, console)}
    baselines: Results = {}
    with bar(console, "baselines") as judging_bar:
        liked = count(dataset.events.select(split.train), dataset.n_items, dataset.feedback.liked_at_least).liked
        for name, tuned in NewItemTuner(dataset, liked, held_out, validation, seed, judging_bar.say).baselines():
            judgements[name] = evaluate(tuned.recommender, test)
            baselines[name] = tuned.as_dict()
    return {
        "data": loaded.summary.as_dict(),
        "protocol": _protocol(test, seed),
        "models": comparison.figures(judgements),
        "baselines": baselines,
        "best_baseline": comparison.against_best_baseline(judgements),
    }


def _judge_bundle(
    dataset: Dataset,
    split: UserSplit,
    protocol: KShot,
    tasks: Tasks,
    config: TrainingConfig,
    console: Console,
) -> dict[int, Judgement]:
    with tempfile.TemporaryDirectory(prefix="kshot-") as folder:
        checkpoint = Checkpoint(Path(folder) / "checkpoints", dataset.fingerprint.sha256, config)
        network = learn(dataset, split, protocol, config, checkpoint, console).network
        with write_draft(Registry(Path(folder)), dataset, network, config) as draft:
            return evaluate(ServedModel(*draft.open()), tasks)


def _protocol(tasks: Tasks, seed: int) -> Results:
    n_users, n_items = len(tasks.users), tasks.n_items
    return {
        **tasks.protocol.as_dict(),
        "name": "new-items",
        "metrics": list(METRICS),
        "users": n_users,
        "items": n_items,
        "seed": seed,
        "caption": (
            f"{n_users:,} test users, {n_items:,} items held out of training ranked. Support: the first k events with "
            "other items. Query: the held-out items that they liked."
        ),
    }
