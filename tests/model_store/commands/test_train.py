"""``kshot train``: errors of the data and of the options in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from model_store.commands.compare import compare
from model_store.commands.evaluate import evaluate
from model_store.commands.train import train

Command = Callable[..., Result]


@pytest.fixture
def training(tmp_path: Path) -> Command:
    """``kshot train`` into a new folder."""
    app = typer.Typer()
    app.command()(train)
    return lambda data, *options: CliRunner().invoke(
        app, ["--data", str(data), "--bundles", str(tmp_path / "new"), *options]
    )


def test_training_on_a_folder_without_data_ends_with_one_line(training: Command, tmp_path: Path) -> None:
    ended = training(tmp_path)
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ")
    assert "interactions" in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--liked-from", "7"], "--liked-from 7: ratings are between 1 and 5, expected a value in this range"),
        (["--liked-from", "nan"], "--liked-from nan: ratings are between 1 and 5, expected a value in this range"),
        (["--feedback", "counts", "--liked-from", "99"], "--liked-from 99: counts are between 1 and 5"),
    ],
)
def test_a_threshold_outside_the_values_is_named_with_their_scale(
    tmp_path: Path, options: list[str], message: str
) -> None:
    rows = [f"{user},{item},{1 + (user + item) % 5}" for user in range(12) for item in range(12)]
    (tmp_path / "interactions.csv").write_text("\n".join(["user_id,item_id,value", *rows, ""]))
    app = typer.Typer()
    app.command()(train)
    ended = CliRunner().invoke(app, ["--data", str(tmp_path), "--bundles", str(tmp_path / "new"), *options])
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {message}")


def test_training_on_a_table_with_a_missing_column_names_file_and_column(training: Command, tmp_path: Path) -> None:
    path = tmp_path / "interactions.csv"
    path.write_text("user_id,value\nann,5\n")
    ended = training(tmp_path)
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert "item_id" in line


def test_training_on_an_unknown_demo_names_the_existing_ones(training: Command) -> None:
    ended = training("demo:books")
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert all(part in line for part in ("demo:books", "demo:movies", "demo:grocery"))


@pytest.mark.parametrize("command", [train, evaluate, compare])
def test_columns_of_other_names_and_another_encoding_are_read(command: Callable[..., None], tmp_path: Path) -> None:
    # One item only: the error comes once the columns are read.
    rows = "userId;movieId;rating\n" + "".join(f"u{user};café;5\n" for user in range(3))
    (tmp_path / "interactions.csv").write_bytes(rows.encode("latin-1"))
    app = typer.Typer()
    app.command()(command)
    ended = CliRunner().invoke(app, ["--data", str(tmp_path), "--columns", "user_id=userId", "--encoding", "latin-1"])
    assert ended.exit_code == 1
    expected = "try: --columns user_id=userId,item_id=movieId,value=rating"
    assert expected in ended.stderr
    columns = ["--columns", expected.rsplit(maxsplit=1)[-1], "--encoding", "latin-1"]
    ended = CliRunner().invoke(app, ["--data", str(tmp_path), *columns])
    assert "column 'item_id' has 1 usable item, expected at least 2" in ended.stderr
