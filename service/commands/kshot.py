"""The ``kshot`` command: the subcommands of all installed packages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib.metadata import entry_points, version
from typing import Annotated, Any

import typer

from model_store.errors import ModelStoreError
from service.errors import ServiceError
from service.server.metrics_folder import take_over_variable

GROUP = "kshot.commands"


def main() -> None:
    """Run ``kshot``."""
    take_over_variable()  # before any command imports prometheus-client
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_options)
    for command in sorted(entry_points(group=GROUP)):
        loaded = command.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=command.name)
        else:
            app.command(command.name)(loaded)
    app(prog_name="kshot")


def report_errors(command: Callable[..., None]) -> Callable[..., None]:
    """``command``, but an error of this project is printed as one line, and the exit code is 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (ServiceError, ModelStoreError) as exc:
            typer.echo(f"error: {exc}", err=True)
            raise typer.Exit(1) from exc

    return run


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"kshot {version('kshot')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train recommenders on events, and serve recommendations."""
