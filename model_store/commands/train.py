"""``kshot train``: meta-train, evaluate, export, publish."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from model_store.bundle import Registry
from model_store.bundle.candidates import import_faiss
from model_store.commands import options
from model_store.commands.outcome import check_writable, command, new_console, show_kshot, write_json
from model_store.config import DEFAULT_READ_OPTIONS, IndexName, JudgingConfig, ReadOptions, Sweep, TrainingConfig

FirstStage = Annotated[
    IndexName,
    typer.Option("--index", help="exact: score all items per list; approximate: score candidates from an index."),
]
CrossFit = Annotated[
    bool,
    typer.Option(help="Where validation users are few, calibrate on training users too (cross-fitting); slower."),
]
TimeBudget = Annotated[float, typer.Option(help="Seconds after which the outer loop stops and keeps its best.", min=1)]
NewScale = Annotated[
    bool, typer.Option("--new-scale", help="Publish even if the live bundle's values have another kind or scale.")
]


@command
def train(
    data: options.Data,
    bundles: options.Bundles = options.DEFAULT_BUNDLES,
    seed: options.Seed = 0,
    content: options.Content = True,
    shots: options.Shots = None,
    algorithm: options.Algorithm = options.DEFAULTS.algorithm,
    max_epochs: options.MaxEpochs = options.DEFAULTS.max_epochs,
    time_budget_s: TimeBudget = options.DEFAULTS.time_budget_s,
    cross_fit: CrossFit = True,
    max_items: options.MaxItems = 5000,
    sweep: options.Tuning = Sweep.QUICK,
    index: FirstStage = options.DEFAULTS.index,
    columns: options.Columns = None,
    encoding: options.Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: options.FeedbackKind = None,
    liked_from: options.LikedFrom = None,
    new_scale: NewScale = False,
    json: options.Json = None,
) -> None:
    """Meta-train on DATA, evaluate against tuned baselines, and publish a bundle to BUNDLES.

    Under torchrun all processes take part in the outer loop, and the first one does the rest.
    """
    check_writable(json)
    config = TrainingConfig(
        seed=seed,
        content=content,
        algorithm=algorithm,
        max_epochs=max_epochs,
        time_budget_s=time_budget_s,
        cross_fit_below=options.DEFAULTS.cross_fit_below if cross_fit else 0,
        index=index,
    )
    judging = options.judging_of(shots, max_items, sweep)
    reading = options.read_options_of(columns, encoding, feedback, liked_from)
    _train(data, bundles, config, judging, reading, new_scale=new_scale, json=json)


def _train(
    data: str,
    bundles: Path,
    config: TrainingConfig,
    judging: JudgingConfig,
    reading: ReadOptions,
    *,
    new_scale: bool,
    json: Path | None,
) -> None:
    from model_store.flows.train_bundle import PAGE_FILE, train_bundle, train_worker
    from model_store.meta.distributed import joined

    if config.index is IndexName.APPROXIMATE:
        import_faiss()  # before the training: if it is missing, the error comes at once
    console = new_console()
    with joined() as processes:
        if not processes.is_first:
            train_worker(data, config, judging, reading)
            return
        version, results = train_bundle(data, bundles, config, judging, console, reading, new_scale=new_scale)
    show_kshot(results, console)
    write_json(results.as_dict(), json)
    console.print(f"report: {Registry(bundles).folder(version) / PAGE_FILE}", soft_wrap=True)
    # The version alone on standard output, so that scripts can take it.
    sys.stdout.write(f"{version}\n")
