"""``kshot inspect``: the data summary and five users, without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from model_store.commands.inspect import inspect_data

Command = Callable[..., Result]


@pytest.fixture
def inspect() -> Command:
    """``kshot inspect``."""
    app = typer.Typer()
    app.command()(inspect_data)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def write_shop(folder: Path, genre: str) -> Path:
    """Forty users with ten events each, and items with a column ``genre`` made from the item's number."""
    users, items = range(40), range(30)
    rows = [f"u{user},i{(7 * user + index) % 30},{1 + (user * index) % 5}" for user in users for index in range(10)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,value", *rows]))
    described = [f"i{item},Film {item},{genre.format(item % 3, item)}" for item in items]
    (folder / "items.csv").write_text("\n".join(["item_id,title,genre", *described]))
    return folder


def test_inspect_prints_the_summary_and_five_users(inspect: Command, tmp_path: Path) -> None:
    ended = inspect("--data", write_shop(tmp_path, "g{0}"), "--strict", "--json", tmp_path / "page.json")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert "        genre: 3 tags: g0, g1, g2\n" in ended.stdout
    assert ended.stdout.count("\n  user 'u") == 5
    assert "Film " in ended.stdout
    written = json.loads((tmp_path / "page.json").read_text())
    assert written["columns"] == [{"table": "items", "name": "genre", "became": "3 tags: g0, g1, g2"}]
    assert written["warnings"] == []
    assert [len(user["events"]) for user in written["sample"]] == [5] * 5


def test_inspect_leaves_with_1_on_warnings_only_if_strict(inspect: Command, tmp_path: Path) -> None:
    source = write_shop(tmp_path, "http://x/{1}")
    ended = inspect("--data", source)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert "warning" in ended.stdout
    strict = inspect("--data", source, "--strict")
    assert (strict.exit_code, strict.stdout) == (1, ended.stdout)
    assert strict.stderr == f"error: {source}: warnings above: 1; --strict allows none\n"


def test_inspect_names_an_error_in_one_line(inspect: Command, tmp_path: Path) -> None:
    ended = inspect("--data", tmp_path)
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: {tmp_path}: no interactions")
    source = write_shop(tmp_path, "g{0}")
    ended = inspect("--data", source, "--json", tmp_path / "nowhere" / "page.json")
    assert ended.exit_code == 1
    assert "page.json: cannot be written (No such file or directory)" in ended.stderr
