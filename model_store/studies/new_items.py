"""Does content place an item that nobody has seen? Train without a tenth of the items, then ask for those."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from model_store.bundle import Registry
from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.data.split import UserSplit, split_users
from model_store.evaluation import comparison
from model_store.evaluation.models import ServedModel
from model_store.evaluation.new_items import NewItemTuner, hold_out, new_item_tasks, without_items
from model_store.evaluation.protocol import HEADLINE, KShot, Tasks, choose_protocol, evaluate
from model_store.export import write_draft
from model_store.jobs import MAX_VALIDATION_USERS, Judging, Results, learn
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.network import count
from model_store.progress import bar

METRICS = (HEADLINE, "recall@20")


def evaluate_new_items(source: str, config: TrainingConfig, judging: Judging, console: Console) -> Results:
    """Judge the model and content baselines on items held out of training.

    The model is judged as it would be served: by a bundle, in which the held-out items stand with their content only.

    Raises:
        DataError: no item has content, or no user can be asked.
    """
    loaded = load(source)
    console.print(loaded.summary.render())
    everything = loaded.dataset
    held_out = hold_out(everything, config.seed)
    dataset = without_items(everything, held_out)
    split = split_users(dataset.events.n_users, config.seed)
    protocol = choose_protocol(dataset, judging.shots)
    asked = {
        "test": new_item_tasks(everything, held_out, split.test, protocol),
        "validation": new_item_tasks(everything, held_out, split.validation[:MAX_VALIDATION_USERS], protocol),
    }
    judgements: comparison.Judgements = {}
    with tempfile.TemporaryDirectory(prefix="kshot-") as folder:
        judgements[comparison.MODEL] = _judge_bundle(
            Path(folder), dataset, split, protocol, asked["test"], config, console
        )
    baselines: Results = {}
    with bar(console, "baselines") as judging_bar:
        liked = count(dataset.events.select(split.train), dataset.n_items, dataset.feedback.liked_at_least).liked
        tuner = NewItemTuner(dataset, liked, held_out, asked["validation"], config.seed, judging_bar.say)
        for name, tuned in tuner.baselines():
            judgements[name] = evaluate(tuned.recommender, asked["test"])
            baselines[name] = tuned.as_dict()
    return {
        "data": loaded.summary.as_dict(),
        "protocol": _protocol(asked["test"], held_out, config.seed),
        "models": comparison.figures(judgements),
        "baselines": baselines,
        "best_baseline": comparison.against_best_baseline(judgements),
    }


def _judge_bundle(
    folder: Path,
    dataset: Dataset,
    split: UserSplit,
    protocol: KShot,
    tasks: Tasks,
    config: TrainingConfig,
    console: Console,
) -> dict[int, Any]:
    checkpoint = Checkpoint(folder / "checkpoints", dataset.fingerprint.sha256, config)
    network = learn(dataset, split, protocol, config, checkpoint, console).network
    with write_draft(Registry(folder), dataset, network, config) as draft:
        return evaluate(ServedModel(*draft.open()), tasks)


def _protocol(tasks: Tasks, held_out: NDArray[np.bool_], seed: int) -> Results:
    n_users, n_items = len(tasks.users), int(held_out.sum())
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
