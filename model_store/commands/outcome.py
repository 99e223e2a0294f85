"""How a command ends: one-line errors with exit status 1, tables on standard error, numbers in a JSON file."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from model_store.errors import DataError, ModelStoreError

if TYPE_CHECKING:
    from rich.console import Console

    from model_store.reports.results import KShotResults

TRAINING_LIBRARIES = {"torch", "polars", "scipy", "rich", "onnx", "jinja2", "implicit"}

OldBundles = Annotated[Path | None, typer.Option("--store", hidden=True, help="Former name of --bundles.")]


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Make ``function`` a command: expected errors become one line, and ``--store`` still stands for ``--bundles``."""
    signature = inspect.signature(function, eval_str=True)
    parameters = list(signature.parameters.values())
    if "bundles" in signature.parameters:
        parameters.append(
            inspect.Parameter("store", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=OldBundles)
        )

    @wraps(function)
    def run(*args: Any, store: Path | None = None, **kwargs: Any) -> None:
        try:
            if store is not None:
                kwargs["bundles"] = _one_folder(kwargs["bundles"], store, signature.parameters["bundles"].default)
            function(*args, **kwargs)
        except ModelStoreError as exc:
            typer.echo(f"error: {exc}", err=True)
            raise typer.Exit(1) from exc
        except OSError as exc:
            typer.echo(f"error: {_describe_os_error(exc)}", err=True)
            raise typer.Exit(1) from exc
        except ModuleNotFoundError as exc:
            if exc.name not in TRAINING_LIBRARIES:
                raise
            typer.echo(f'error: {exc.name} is not installed; training needs: pip install "kshot[train]"', err=True)
            raise typer.Exit(1) from exc

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _one_folder(bundles: Path | None, store: Path, default: Path | None) -> Path:
    if bundles not in (default, store):
        raise DataError(f"--bundles {bundles} and --store {store}: expected one of them; --store is the former name")
    return store


def _describe_os_error(error: OSError) -> str:
    """One line about a file that could not be used, e.g. because the disk became full during a training."""
    return (
        f"{error.filename or 'a file'}: {error.strerror or error}; expected a file system with free space, and files "
        "that this user may read and write: correct that and run the command again"
    )


def new_console() -> Console:
    """A console on standard error, so that standard output has results only."""
    from rich.console import Console

    return Console(stderr=True)


def show_kshot(results: KShotResults, console: Console, *, ablations: bool = False) -> None:
    """Print one table per metric of the protocol, and with ``ablations`` the tables of the variants."""
    from model_store.reports.tables import ablation_tables, kshot_table

    for metric in results.protocol.metrics if results.protocol else ():
        console.print(kshot_table(results, metric))
    for table in ablation_tables(results) if ablations else ():  # the report has them in any case
        console.print(table)


def check_writable(json: Path | None) -> None:
    """Open the file for the numbers before hours of work, not after them; a new one is removed again.

    Raises:
        DataError: it cannot be written.
    """
    if json is None or json.is_fifo() or json.is_char_device():
        return
    existed = json.exists()
    try:
        json.open("ab").close()
    except OSError as exc:
        raise _unwritable(json, exc) from exc
    if not existed:
        json.unlink()


def write_json(document: dict[str, Any], json: Path | None) -> None:
    """Write ``document`` to the file of ``--json``, if that option is set.

    Raises:
        DataError: the file cannot be written.
    """
    if json is None:
        return
    try:
        json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    except OSError as exc:
        raise _unwritable(json, exc) from exc


def _unwritable(json: Path, error: OSError) -> DataError:
    return DataError(
        f"--json {json}: cannot be written ({error.strerror}); expected a writable file in an existing folder"
    )
