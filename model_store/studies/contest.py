"""``kshot compare``: the meta-learning algorithms on one data set, with one configuration and the same users."""

from __future__ import annotations

from rich.console import Console

from model_store.config import DEFAULT_READ_OPTIONS, AlgorithmName, ReadOptions, TrainingConfig
from model_store.data.sources import load
from model_store.errors import DataError
from model_store.evaluation.comparison import Judgements
from model_store.evaluation.protocol import evaluate
from model_store.evaluation.recommenders import DenseModel, TrainingModel
from model_store.learning.experiment import Experiment
from model_store.learning.learn import learn
from model_store.reports.outcomes import contest_part, protocol_of, training_of
from model_store.reports.results import ContestResults, Training


def compare(
    source: str,
    algorithms: tuple[AlgorithmName, ...],
    config: TrainingConfig,
    shots: tuple[int, ...] | None,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> ContestResults:
    """Train each of ``algorithms`` on the same users and judge all on the same test users.

    Each is judged with all parts of the score, as it would serve, and by its adapted weights and the popularity prior
    alone, so that the memories cannot make up for an algorithm's weakness.

    Args:
        source: the data.
        algorithms: algorithms to compare; the others are compared to the first.
        config: settings of all trainings, except the algorithm.
        shots: the k; chosen from the data if absent.
        console: for progress.
        reading: options of reading the data.
    """
    loaded = load(source, reading)
    experiment = Experiment.of(loaded.dataset, config, console, shots)
    tasks = experiment.cohorts.test
    whole: Judgements = {}
    dense: Judgements = {}
    training: dict[str, Training] = {}
    for name in algorithms:
        console.print(f"algorithm: {name}")
        learned = learn(experiment.configured(algorithm=name))
        training[name.value] = training_of(learned)
        whole[name.value] = evaluate(TrainingModel(learned.network), tasks)
        dense[name.value] = evaluate(DenseModel(learned.network), tasks)
    return ContestResults(
        data=loaded.summary,
        protocol=protocol_of(experiment.cohorts),
        reference=algorithms[0].value,
        training=training,
        whole=contest_part(whole, algorithms[0]),
        dense=contest_part(dense, algorithms[0]),
    )


def algorithms_of(text: str) -> tuple[AlgorithmName, ...]:
    """Parse "kshot,maml"; the product's own algorithm comes first if it takes part.

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
