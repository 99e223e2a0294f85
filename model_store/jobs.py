"""The stories of the model store: train a bundle, judge a bundle."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.console import Console

from model_store.baselines.tuning import Shortlist, Tuner, shortlist
from model_store.bundle import Registry, open_bundle
from model_store.config import DEFAULT_READ_OPTIONS, IndexName, JudgingConfig, ReadOptions, TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import Loaded, load
from model_store.data.split import UserSplit, split_users
from model_store.errors import DataError
from model_store.evaluation import comparison
from model_store.evaluation.ablation import Variant, take_apart, train_otherwise
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.protocol import KShot, Parts, Tasks, choose_protocol, evaluate, make_tasks
from model_store.evaluation.recommenders import ServedModel
from model_store.export import Draft, write_draft
from model_store.export.build_index import WORTHWHILE_FROM
from model_store.export.live_scale import check_scale, describe, same_scale
from model_store.learning.learn import MAX_VALIDATION_USERS, Learned, best_trained, learn
from model_store.meta.checkpoint import Checkpoint
from model_store.meta.network import Network, count
from model_store.progress import bar
from model_store.reports import page as report

Results = dict[str, Any]
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Judged:
    """A model beside its baselines: every user's figures, and what the report says of them."""

    judgements: comparison.Judgements
    results: Results


def train(
    source: str,
    store: Path,
    config: TrainingConfig,
    judging: JudgingConfig,
    console: Console,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
    *,
    new_scale: bool = False,
) -> tuple[str, Results]:
    """Meta-train on ``source``, evaluate, export, and publish to ``store``.

    Whether the store can be written, and whether values have the scale of its live bundle, is found out first.

    Args:
        source: the data.
        store: folder of the bundles.
        config: of the training.
        judging: how the model is judged.
        console: for the page about the data and for progress.
        reading: how the data is read.
        new_scale: whether values may be of another kind or scale than those of the live bundle.

    Returns:
        The version published, and its results.

    Raises:
        RegistryError: the store cannot be written.
        TrainingError: values have another scale than those of the live bundle, or training fails.
        DataError: the data cannot be read, or holds nothing to learn from.
    """
    registry = Registry(store)
    registry.check_writable(CHECKPOINTS)
    loaded = _load(source, reading, console)
    if not new_scale:
        check_scale(registry, loaded.dataset.feedback)
    registry.check_space(_bundle_bytes(loaded.dataset, config))
    version, judged = _train(loaded, registry, config, judging, console)
    return version, judged.results


def _load(source: str, reading: ReadOptions, console: Console) -> Loaded:
    loaded = load(source, reading)
    console.print(loaded.summary.render())
    return loaded


def _train(
    loaded: Loaded, registry: Registry, config: TrainingConfig, judging: JudgingConfig, console: Console
) -> tuple[str, Judged]:
    if loaded.dataset.n_items >= WORTHWHILE_FROM and config.index is IndexName.EXACT:
        console.print("so many items take more than 10 ms a list; --index approximate asks an index first")
    dataset, split = loaded.dataset, split_users(loaded.dataset.events.n_users, config.seed)
    protocol = choose_protocol(dataset, judging.shots, judged_parts(split))
    checkpoint = _checkpoint(registry.store, dataset, config)
    learned = learn(dataset, split, protocol, config, checkpoint, console)
    with ExitStack() as until_published:
        with bar(console, "export") as exporting:
            exporting.say("graphs, golden cases, parity with torch")
            draft = until_published.enter_context(write_draft(registry, dataset, learned.network, config))
        model = ServedModel(*draft.open())
        judged = _judge(model, loaded, split, protocol, judging, config.seed, console)
        results = judged.results
        results["training"] = {**learned.as_dict(), "index": draft.index}
        results["ablations"] = _ablations(learned, dataset, split, protocol, console, retrained=judging.ablations)
        _write_report(draft, results)
        version = draft.publish(registry, results=results["models"])
    checkpoint.discard()
    return version, judged


def _checkpoint(store: Path, dataset: Dataset, config: TrainingConfig) -> Checkpoint:
    """The checkpoint of a training on this data, its values read as they are now."""
    feedback = dataset.feedback
    identity = f"{dataset.fingerprint.sha256}{feedback.kind}{feedback.liked_at_least!r}"
    return Checkpoint(store / CHECKPOINTS, identity, config)


def _bundle_bytes(dataset: Dataset, config: TrainingConfig) -> int:
    """Least size of a bundle: vectors in float32 and int8, and two memories of rows and weights."""
    neighbours = min(config.neighbours, dataset.n_items)
    return dataset.n_items * ((config.dim + 1) * 5 + 2 * neighbours * 8)


def assist(
    source: str,
    store: Path,
    config: TrainingConfig,
    judging: JudgingConfig,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> None:
    """Take this process's share of the outer loop of a training that another process leads with ``train``."""
    dataset = load(source, reading).dataset
    split = split_users(dataset.events.n_users, config.seed)
    protocol = choose_protocol(dataset, judging.shots, judged_parts(split))
    checkpoint = _checkpoint(store, dataset, config)
    validation = make_tasks(dataset, split.validation[:MAX_VALIDATION_USERS], protocol)
    best_trained(dataset, dataset.events.select(split.train), validation, config, checkpoint, Console(quiet=True))


def evaluate_store(
    source: str, store: Path, judging: JudgingConfig, console: Console, reading: ReadOptions = DEFAULT_READ_OPTIONS
) -> Results:
    """Judge the live bundle of ``store`` on the test users of the data that it was trained on.

    The baselines' sweep is read from the bundle's report where it is the one asked for: only what it chose is fitted.

    Raises:
        DataError: the bundle was trained on other data, so that its test users cannot be known.
    """
    folder = Registry(store).live_folder()
    bundle = open_bundle(folder)
    loaded = load(source, reading)
    found, expected = loaded.dataset.fingerprint, bundle.manifest.data
    if found.sha256 != expected.sha256:
        raise DataError(
            f"{source}: events have sha256 {found.sha256[:12]}…, bundle {bundle.version} was trained on "
            f"{expected.source} with {expected.sha256[:12]}…; evaluate it on the same data"
        )
    if not same_scale(bundle.manifest.feedback, loaded.dataset.feedback):
        raise DataError(
            f"{source}: values are read as {describe(loaded.dataset.feedback)}, bundle {bundle.version} was trained "
            f"with {describe(bundle.manifest.feedback)}; set --feedback and --liked-from as they were"
        )
    seed = int(bundle.manifest.training["seed"])
    split = split_users(loaded.dataset.events.n_users, seed)
    protocol = choose_protocol(loaded.dataset, judging.shots, judged_parts(split))
    model = ServedModel(bundle.graphs, bundle.catalogue)
    report = orjson.loads((folder / "report.json").read_bytes())
    same = report["protocol"]["shots"] == list(protocol.shots) and report["max_items"] == judging.max_items
    chosen = shortlist(report["baselines"], judging.sweep) if same else {}
    results = _judge(model, loaded, split, protocol, judging, seed, console, chosen).results
    # A bundle's graphs cannot be taken apart; its report says what its network's parts were worth to the same users.
    return results | ({"ablations": report["ablations"]} if same and "ablations" in report else {})


def evaluate_anew(
    source: str,
    config: TrainingConfig,
    judging: JudgingConfig,
    console: Console,
    splits: int = 1,
    reading: ReadOptions = DEFAULT_READ_OPTIONS,
) -> Results:
    """Train bundles that are not kept, one for each of ``splits`` user splits, and judge them together.

    The seeds count up from the configuration's. Users of several test sets count once in each.
    """
    judged: list[Judged] = []
    for seed in range(config.seed, config.seed + splits):
        console.print(f"split {len(judged) + 1} of {splits}, seed {seed}")
        with tempfile.TemporaryDirectory(prefix="kshot-") as folder:
            own = config.model_copy(update={"seed": seed})
            loaded = _load(source, reading, console)
            judged.append(_train(loaded, Registry(Path(folder)), own, judging, console)[1])
    first = judged[0].results
    if splits == 1:
        return first
    pooled = comparison.pool([each.judgements for each in judged])
    users = sum(each.results["protocol"]["users"] for each in judged)
    return {
        "data": first["data"],
        "protocol": {**first["protocol"], "users": users, "splits": splits},
        "models": comparison.figures(pooled),
        "best_baseline": comparison.against_best_baseline(pooled),
        "splits": [each.results for each in judged],
    }


def _ablations(
    whole: Learned,
    dataset: Dataset,
    split: UserSplit,
    protocol: KShot,
    console: Console,
    *,
    retrained: bool,
) -> Results:
    """The parts of the model, and where ``retrained`` its variants, on the test users."""
    tasks = make_tasks(dataset, split.judged, protocol)
    liked = count(dataset.events.select(split.train), dataset.n_items, dataset.feedback.liked_at_least).liked
    facts, has_time = ItemFacts.of(dataset.features, liked), dataset.has_time
    with bar(console, "parts") as taking_apart:
        taking_apart.say("each left out, each alone")
        judgements = take_apart(whole.network, tasks, facts, has_time=has_time)

    def retrain(variant: Variant) -> Network:
        events = dataset.events if variant.ages else replace(dataset.events, times=np.zeros_like(dataset.events.times))
        with tempfile.TemporaryDirectory(prefix="kshot-") as folder:
            own = Checkpoint(Path(folder), dataset.fingerprint.sha256, variant.config)
            return learn(replace(dataset, events=events), split, protocol, variant.config, own, console).network

    if retrained:
        told = partial(console.print, "ablation:")
        judgements |= train_otherwise(whole.config, retrain, tasks, facts, has_time=has_time, on_variant=told)
    return comparison.figures(judgements)


def _judge(
    model: ServedModel,
    loaded: Loaded,
    split: UserSplit,
    protocol: KShot,
    judging: JudgingConfig,
    seed: int,
    console: Console,
    chosen: Shortlist | None = None,
) -> Judged:
    """The model and its tuned baselines on the test users, read here and nowhere else."""
    dataset = loaded.dataset
    liked_at_least = dataset.feedback.liked_at_least
    tasks = make_tasks(dataset, split.judged, protocol)
    validation = make_tasks(dataset, split.validation[:MAX_VALIDATION_USERS], protocol)
    liked = count(dataset.events.select(split.train), dataset.n_items, liked_at_least).liked
    facts = ItemFacts.of(dataset.features, liked)
    baselines: Results = {}
    with bar(console, "evaluation") as judging_bar:
        judging_bar.say(comparison.MODEL)
        judgements = {comparison.MODEL: evaluate(model, tasks, facts=facts)}
        tuner = Tuner(
            liked,
            liked_at_least,
            validation,
            judging.max_items,
            judging.sweep,
            seed=seed,
            shortlist=chosen or {},
            on_step=judging_bar.say,
        )
        for name, tuned in tuner.baselines():
            judgements[name] = evaluate(tuned.recommender, tasks, facts=facts)
            baselines[name] = tuned.as_dict()
    results = {
        "data": loaded.summary.as_dict(),
        "protocol": describe_protocol(tasks, dataset, seed),
        "max_items": judging.max_items,
        "models": comparison.figures(judgements),
        "baselines": baselines,
        "best_baseline": comparison.against_best_baseline(judgements),
    }
    return Judged(judgements, results)


def judged_parts(split: UserSplit) -> Parts:
    """The users of a split that a protocol asks: those who choose, and those whom the figures are of."""
    return {"validation users": split.validation[:MAX_VALIDATION_USERS], "test users": split.judged}


def describe_protocol(tasks: Tasks, dataset: Dataset, seed: int) -> Results:
    """What was asked of whom, for the report."""
    order = "time" if dataset.has_time else "sequence" if dataset.has_order else "random, seeded"
    return {
        **tasks.protocol.as_dict(),
        "users": len(tasks.users),
        "items": tasks.n_items,
        "seed": seed,
        "order": order,
    }


def _write_report(draft: Draft, results: Results) -> None:
    (draft.folder / "report.json").write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    (draft.folder / "report.html").write_text(report.render(results), encoding="utf-8")
