"""``kshot evaluate``: the k-shot curve of a model and its baselines, or another protocol's figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model_store.commands import options
from model_store.commands.outcome import check_writable, command, new_console, show_kshot, write_json
from model_store.config import (
    DEFAULT_READ_OPTIONS,
    EvaluationProtocol,
    JudgingConfig,
    RatingConfig,
    ReadOptions,
    Sweep,
    TrainingConfig,
)
from model_store.errors import DataError

if TYPE_CHECKING:
    from rich.console import Console

    from model_store.reports.results import KShotResults

LiveBundles = Annotated[
    Path | None, typer.Option(help="Folder whose live bundle is evaluated; trains a model if absent.")
]
Splits = Annotated[int, typer.Option(help="User splits to train and evaluate on, without --bundles.", min=1)]
Protocol = Annotated[
    EvaluationProtocol,
    typer.Option(
        help="kshot: lists for new users. new-items: rank a tenth of the items, held out. melu: predict ratings."
    ),
]
Ablations = Annotated[bool, typer.Option(help="Train and evaluate variants too: without content, ages; other queries.")]


@command
def evaluate(
    data: options.Data,
    bundles: LiveBundles = None,
    seed: options.Seed = 0,
    content: options.Content = True,
    shots: options.Shots = None,
    algorithm: options.Algorithm = options.DEFAULTS.algorithm,
    max_epochs: options.MaxEpochs = options.DEFAULTS.max_epochs,
    max_items: options.MaxItems = 10_000,
    sweep: options.Tuning = Sweep.FULL,
    splits: Splits = 1,
    protocol: Protocol = EvaluationProtocol.KSHOT,
    ablations: Ablations = False,
    columns: options.Columns = None,
    encoding: options.Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: options.FeedbackKind = None,
    liked_from: options.LikedFrom = None,
    json: options.Json = None,
) -> None:
    """Print the k-shot curve of the model and its tuned baselines on users never seen in training.

    With --protocol melu: errors of predicted ratings, for existing and new users and items, as in the MeLU paper.
    """
    check_writable(json)
    reading = options.read_options_of(columns, encoding, feedback, liked_from)
    if protocol is not EvaluationProtocol.KSHOT:
        _refuse(protocol, {"--bundles": bundles, "--ablations": ablations or None})
    if protocol is EvaluationProtocol.MELU:
        _refuse(protocol, {"--shots": shots})
        _evaluate_ratings(data, RatingConfig(seed=seed, content=content, max_epochs=max_epochs), reading, json)
        return
    judging = options.judging_of(shots, max_items, sweep, ablations=ablations)
    config = TrainingConfig(seed=seed, content=content, algorithm=algorithm, max_epochs=max_epochs)
    console = new_console()
    results = _evaluate_lists(data, bundles, config, judging, splits, protocol, reading, console)
    show_kshot(results, console, ablations=ablations)
    write_json(results.as_dict(), json)


def _refuse(protocol: EvaluationProtocol, values: dict[str, object]) -> None:
    for option, value in values.items():
        if value is not None:
            raise DataError(f"{option} {value}: --protocol {protocol} trains a model of its own, expected no {option}")


def _evaluate_lists(
    data: str,
    bundles: Path | None,
    config: TrainingConfig,
    judging: JudgingConfig,
    splits: int,
    protocol: EvaluationProtocol,
    reading: ReadOptions,
    console: Console,
) -> KShotResults:
    from model_store.flows.judge_bundle import judge_live_bundle
    from model_store.flows.train_bundle import judge_splits
    from model_store.studies.new_items.study import evaluate_new_items

    if protocol is EvaluationProtocol.NEW_ITEMS:
        return evaluate_new_items(data, config, judging, console, reading)
    if bundles is None:
        return judge_splits(data, config, judging, console, splits, reading)
    if judging.ablations:
        raise DataError(f"--ablations trains variants of its own, expected no --bundles {bundles}")
    return judge_live_bundle(data, bundles, judging, console, reading)


def _evaluate_ratings(data: str, config: RatingConfig, reading: ReadOptions, json: Path | None) -> None:
    from model_store.studies.ratings.rating_table import rating_table
    from model_store.studies.ratings.study import evaluate_ratings

    console = new_console()
    results = evaluate_ratings(data, config, console, reading)
    console.print(rating_table(results))
    write_json(results.as_dict(), json)
