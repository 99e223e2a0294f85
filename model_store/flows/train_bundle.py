"""Train a bundle: learn, export, judge, publish; or the same without publishing, for figures of several splits."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from model_store.bundle import Registry
from model_store.config import DEFAULT_READ_OPTIONS, IndexName, JudgingConfig, ReadOptions, TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import Loaded, load
from model_store.data.summary import Summary
from model_store.evaluation import comparison
from model_store.evaluation.comparison import Judgements
from model_store.evaluation.recommenders import ServedModel
from model_store.export import Draft, write_draft
from model_store.export.build_index import WORTHWHILE_FROM
from model_store.export.live_scale import check_scale
from model_store.flows.ablate import ablate
from model_store.flows.judge_bundle import REPORT_FILE, judge_beside_baselines
from model_store.learning.experiment import Experiment
from model_store.learning.learn import learn, train_best
from model_store.meta.checkpoint import Checkpoint
from model_store.progress import bar
from model_store.reports.outcomes import training_of
from model_store.reports.page import render
from model_store.reports.results import KShotResults

CHECKPOINTS = "checkpoints"
PAGE_FILE = "report.html"


class Published(NamedTuple):
    """A published bundle's version and its results."""

    version: str
    results: KShotResults


class Trained(NamedTuple):
    """A bundle that is exported and judged, but not published.

    Attributes:
        draft: the bundle; it exists as long as the context.
        judgements: model → k → metrics per user.
        results: for the report.
    """

    draft: Draft
    judgements: Judgements
    results: KShotResults


def train_bundle(
    source: str,
    bundles: Path,
    config: TrainingConfig,
    judging: JudgingConfig,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
    *,
    new_scale: bool = False,
) -> Published:
    """Meta-train on ``source``, export, evaluate, and publish.

    The folder, its free space and the scale of the live bundle are checked before the training.

    Args:
        source: the data.
        bundles: folder of the bundles.
        config: settings of the training.
        judging: settings of the evaluation.
        console: for the data summary and progress.
        reading: options of reading the data.
        new_scale: whether values may have another kind or scale than those of the live bundle.

    Raises:
        RegistryError: the folder cannot be written.
        TrainingError: values have another scale than those of the live bundle, or training fails.
        DataError: the data cannot be read, or holds nothing to learn from.
    """
    registry = Registry(bundles)
    registry.check_writable(CHECKPOINTS)
    loaded = _load(source, reading, console)
    if not new_scale:
        check_scale(registry, loaded.dataset.feedback)
    registry.check_space(_least_bytes(loaded.dataset, config))
    experiment = Experiment.of(loaded.dataset, config, console, judging.shots)
    checkpoint = _checkpoint(bundles, loaded.dataset, config)
    with _learn_and_judge(loaded.summary, experiment, judging, registry, checkpoint) as trained:
        version = _publish(trained, registry)
    checkpoint.discard()
    return Published(version, trained.results)


def _publish(trained: Trained, registry: Registry) -> str:
    """Write the report into the draft and publish it; its version."""
    draft, results = trained.draft, trained.results
    results.write(draft.folder / REPORT_FILE)
    (draft.folder / PAGE_FILE).write_text(render(results), encoding="utf-8")
    return draft.publish(registry, results=results.as_dict()["models"])


def train_worker(
    source: str, config: TrainingConfig, judging: JudgingConfig, reading: ReadOptions = DEFAULT_READ_OPTIONS
) -> None:
    """Take part in the outer loop of a training that the first process of ``torchrun`` leads with ``train_bundle``."""
    train_best(Experiment.of(load(source, reading).dataset, config, Console(quiet=True), judging.shots))


def judge_splits(
    source: str,
    config: TrainingConfig,
    judging: JudgingConfig,
    console: Console,
    splits: int = 1,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> KShotResults:
    """Train a bundle per user split without publishing it, and pool the judgements.

    The seeds of the splits count up from the configuration's. A user in several test sets counts once in each.
    """
    loaded = _load(source, reading, console)
    results: list[KShotResults] = []
    judgements: list[Judgements] = []
    for seed in range(config.seed, config.seed + splits):
        console.print(f"split {len(results) + 1} of {splits}, seed {seed}")
        seeded = config.model_copy(update={"seed": seed})
        experiment = Experiment.of(loaded.dataset, seeded, console, judging.shots)
        with (
            tempfile.TemporaryDirectory(prefix="kshot-") as folder,
            _learn_and_judge(loaded.summary, experiment, judging, Registry(Path(folder))) as trained,
        ):
            results.append(trained.results)
            judgements.append(trained.judgements)
    return results[0] if splits == 1 else _pool(results, judgements)


def _pool(results: list[KShotResults], judgements: list[Judgements]) -> KShotResults:
    pooled, first = comparison.pool(judgements), results[0]
    protocols = [result.protocol for result in results if result.protocol]
    users = sum(protocol.users for protocol in protocols)
    return KShotResults(
        data=first.data,
        protocol=protocols[0].model_copy(update={"users": users, "splits": len(results)}),
        models=comparison.figures(pooled),
        best_baseline=comparison.against_best_baseline(pooled),
        splits=tuple(results),
    )


@contextmanager
def _learn_and_judge(
    summary: Summary,
    experiment: Experiment,
    judging: JudgingConfig,
    registry: Registry,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Trained]:
    """Learn, export into a temporary folder of the registry, and judge the exported bundle."""
    cohorts, config, console = experiment.cohorts, experiment.config, experiment.console
    n_items = cohorts.dataset.n_items
    if n_items >= WORTHWHILE_FROM and config.index is IndexName.EXACT:
        console.print(f"{n_items:,} items take more than 10 ms per list; --index approximate is faster")
    learned = learn(experiment, checkpoint)
    with ExitStack() as until_published:
        with bar(console, "export") as exporting:
            exporting.say("graphs, golden cases, parity with torch")
            draft = until_published.enter_context(write_draft(registry, cohorts.dataset, learned.network, config))
        judged = judge_beside_baselines(ServedModel(draft.open()), cohorts, judging, console)
        training = training_of(learned, draft.index)
        ablations = comparison.figures(ablate(learned, experiment, retrain=judging.ablations))
        results = judged.results(summary, cohorts, judging)
        results = results.model_copy(update={"training": training, "ablations": ablations})
        yield Trained(draft, judged.judgements, results)


def _load(source: str, reading: ReadOptions, console: Console) -> Loaded:
    """Load the data and print its summary."""
    loaded = load(source, reading)
    console.print(loaded.summary.render())
    return loaded


def _checkpoint(bundles: Path, dataset: Dataset, config: TrainingConfig) -> Checkpoint:
    """The checkpoint of a training on this data with this reading of its values."""
    feedback = dataset.feedback
    identity = f"{dataset.fingerprint.sha256}{feedback.kind}{feedback.liked_at_least!r}"
    return Checkpoint(bundles / CHECKPOINTS, identity, config)


def _least_bytes(dataset: Dataset, config: TrainingConfig) -> int:
    """Least size of a bundle: vectors in float32 and int8, and two memories of rows and weights."""
    neighbours = min(config.neighbours, dataset.n_items)
    return dataset.n_items * ((config.dim + 1) * 5 + 2 * neighbours * 8)
