"""The story of ``kshot compare``: the meta-learning algorithms on one data set, all else equal."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from model_store.config import DEFAULT_READ_OPTIONS, AlgorithmName, ReadOptions, TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.data.split import UserSplit, split_users
from model_store.errors import DataError
from model_store.evaluation import comparison
from model_store.evaluation.protocol import KShot, choose_protocol, evaluate, make_tasks
from model_store.evaluation.recommenders import DenseModel, TrainingModel
from model_store.jobs import describe_protocol, judged_parts
from model_store.learning.learn import Learned, learn
from model_store.meta.checkpoint import Checkpoint

Results = dict[str, Any]


def compare(
    source: str,
    algorithms: tuple[AlgorithmName, ...],
    config: TrainingConfig,
    shots: tuple[int, ...] | None,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> Results:
    """Train each of ``algorithms`` with the same configuration on the same users, and judge all on the same others.

    Each is judged as it would serve, with memories and calibrated shares, and by its adapted weights alone (with the
    popularity prior), where memories do not cover what an algorithm lacks.

    Args:
        source: the data.
        algorithms: whom to compare; the first is what the others are held against.
        config: of all trainings but for the algorithm.
        shots: the k, or None to let the data decide.
        console: for progress.
        reading: how the data is read.

    Returns:
        What the table is made from and ``--json`` writes.
    """
    loaded = load(source, reading)
    dataset, split = loaded.dataset, split_users(loaded.dataset.events.n_users, config.seed)
    protocol = choose_protocol(dataset, shots, judged_parts(split))
    tasks = make_tasks(dataset, split.judged, protocol)
    whole: comparison.Judgements = {}
    dense: comparison.Judgements = {}
    training: Results = {}
    for name in algorithms:
        console.print(f"algorithm: {name}")
        chosen = config.model_copy(update={"algorithm": name})
        learned = _learned(dataset, split, protocol, chosen, console)
        training[name.value] = learned.as_dict()
        whole[name.value] = evaluate(TrainingModel(learned.network), tasks)
        dense[name.value] = evaluate(DenseModel(learned.network), tasks)
    return {
        "data": loaded.summary.as_dict(),
        "protocol": describe_protocol(tasks, dataset, config.seed),
        "reference": algorithms[0].value,
        "training": training,
        "whole": _compared(whole, algorithms[0]),
        "dense": _compared(dense, algorithms[0]),
    }


def _learned(dataset: Dataset, split: UserSplit, protocol: KShot, config: TrainingConfig, console: Console) -> Learned:
    with tempfile.TemporaryDirectory(prefix="kshot-") as folder:
        checkpoint = Checkpoint(Path(folder), dataset.fingerprint.sha256, config)
        return learn(dataset, split, protocol, config, checkpoint, console)


def _compared(judgements: comparison.Judgements, reference: AlgorithmName) -> Results:
    return {
        "models": comparison.figures(judgements),
        "against_reference": comparison.against(judgements, reference),
    }


def algorithms_of(text: str) -> tuple[AlgorithmName, ...]:
    """Parse "kshot,maml"; the default stands first where it takes part.

    Raises:
        DataError: naming the text and the names there are.
    """
    try:
        names = tuple(AlgorithmName(part.strip()) for part in text.split(","))
    except ValueError:
        names = ()
    if not names or len(set(names)) < len(names):
        raise DataError(f"--algorithms {text!r}: expected different names out of {', '.join(AlgorithmName)}")
    return tuple(sorted(names, key=lambda name: name is not AlgorithmName.KSHOT))
