"""``kshot compare``: the meta-learning algorithms side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from model_store.commands import options
from model_store.commands.outcome import check_writable, command, new_console, write_json
from model_store.config import DEFAULT_READ_OPTIONS, AlgorithmName, TrainingConfig

ALL_ALGORITHMS = ",".join(AlgorithmName)

Algorithms = Annotated[str, typer.Option(help="Algorithms to compare, e.g. kshot,maml; all if absent.")]


@command
def compare(
    data: options.Data,
    algorithms: Algorithms = ALL_ALGORITHMS,
    seed: options.Seed = 0,
    content: options.Content = True,
    shots: options.Shots = None,
    max_epochs: options.MaxEpochs = options.DEFAULTS.max_epochs,
    columns: options.Columns = None,
    encoding: options.Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: options.FeedbackKind = None,
    liked_from: options.LikedFrom = None,
    json: options.Json = None,
) -> None:
    """Train each meta-learning algorithm on DATA and print their k-shot curves on users never seen in training."""
    check_writable(json)
    from model_store.reports.tables import algorithm_table
    from model_store.studies import contest

    console, config = new_console(), TrainingConfig(seed=seed, content=content, max_epochs=max_epochs)
    reading = options.read_options_of(columns, encoding, feedback, liked_from)
    names = contest.algorithms_of(algorithms)
    results = contest.compare(data, names, config, options.shots_of(shots), console, reading)
    console.print(algorithm_table(results))
    write_json(results.as_dict(), json)
