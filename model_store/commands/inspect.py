"""``kshot inspect``: what a source holds, without training."""

from __future__ import annotations

from typing import Annotated

import typer

from model_store.commands import options
from model_store.commands.outcome import command, write_json
from model_store.config import DEFAULT_READ_OPTIONS
from model_store.errors import DataError

Strict = Annotated[bool, typer.Option("--strict", help="Leave with exit status 1 if there are warnings.")]


@command
def inspect_data(
    data: options.Data,
    columns: options.Columns = None,
    encoding: options.Encoding = DEFAULT_READ_OPTIONS.encoding,
    feedback: options.FeedbackKind = None,
    liked_from: options.LikedFrom = None,
    strict: Strict = False,
    json: options.Json = None,
) -> None:
    """Print a summary of DATA without training: counts, the use of each column, warnings, and five users."""
    from model_store.data.sample import render_sample, sample_users
    from model_store.data.sources import load

    dataset, summary = load(data, options.read_options_of(columns, encoding, feedback, liked_from))
    sample = sample_users(dataset)
    typer.echo(f"{summary.render().plain}\n\n{render_sample(sample, summary.order).plain}")
    write_json(summary.as_dict() | {"sample": [user.as_dict() for user in sample]}, json)
    if strict and summary.warnings:
        raise DataError(f"{data}: warnings above: {len(summary.warnings)}; --strict allows none")
