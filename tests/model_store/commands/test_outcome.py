"""How commands end: one-line errors, and a JSON file that is checked before the work."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from model_store.commands.outcome import check_writable, command, write_json
from model_store.errors import DataError


def ended_with(error: Exception) -> Result:
    @command
    def failing() -> None:
        raise error

    app = typer.Typer()
    app.command()(failing)
    return CliRunner().invoke(app, [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("x: y, expected z"), "error: x: y, expected z"),
        (OSError(28, "No space left on device", "a.npy"), "error: a.npy: No space left on device; expected a file"),
        (
            ModuleNotFoundError("no torch", name="torch"),
            "error: torch is not installed; training needs: pip install",
        ),
    ],
)
def test_an_expected_error_is_one_line_and_status_1(error: Exception, line: str) -> None:
    ended = ended_with(error)
    assert ended.exit_code == 1
    assert ended.stderr.startswith(line)
    assert ended.stderr.count("\n") == 1


def test_an_unexpected_error_passes() -> None:
    assert isinstance(ended_with(ZeroDivisionError()).exception, ZeroDivisionError)
    assert isinstance(ended_with(ModuleNotFoundError("no x", name="x")).exception, ModuleNotFoundError)


def test_an_unwritable_json_file_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--json .*out\.json: cannot be written \(No such file or directory\)"):
        check_writable(tmp_path / "nowhere" / "out.json")


def test_the_check_leaves_no_file_behind_and_keeps_an_existing_one(tmp_path: Path) -> None:
    check_writable(tmp_path / "new.json")
    assert list(tmp_path.iterdir()) == []
    write_json({"a": 1}, tmp_path / "old.json")
    check_writable(tmp_path / "old.json")
    assert (tmp_path / "old.json").read_text() == '{\n  "a": 1\n}'
