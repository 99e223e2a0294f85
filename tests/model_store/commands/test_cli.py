"""``kshot train`` and ``kshot bundles`` as a person meets them: plain answers, one-line errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from model_store.bundle import Registry
from model_store.commands.bundles import bundles
from model_store.commands.compare import compare
from model_store.commands.evaluate import evaluate
from model_store.commands.inspect import inspect_data
from model_store.commands.train import train

Command = Callable[..., Result]


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Path:
    """A store of the test's own with a second, older promotion to go back to."""
    store = Path(shutil.copytree(trained_store, tmp_path / "store"))
    registry = Registry(store)
    (store / "promotions").write_text(f"{registry.live()}\nlater\n")
    return store


@pytest.fixture
def kshot(store: Path) -> Command:
    """``kshot bundles`` on the test's store."""
    return lambda *arguments: CliRunner().invoke(bundles, [*arguments, "--store", str(store)])


@pytest.fixture
def version(store: Path) -> str:
    return Registry(store).live()


def test_the_live_bundle_has_a_star(kshot: Command, version: str) -> None:
    (line,) = kshot("list").stdout.splitlines()
    assert line.startswith(f"* {version}")
    assert "240 items" in line


def test_a_store_without_bundles_is_told_how_to_train(tmp_path: Path) -> None:
    ended = CliRunner().invoke(bundles, ["list", "--store", str(tmp_path)])
    assert ended.exit_code == 1
    assert ended.stderr == f"error: {tmp_path}: no live bundle; train one with: kshot train --store {tmp_path}\n"


def test_a_bundle_is_shown_as_json(kshot: Command, version: str) -> None:
    assert json.loads(kshot("show").stdout)["version"] == version


def test_a_whole_bundle_is_verified(kshot: Command, version: str) -> None:
    assert kshot("verify", version).stdout.startswith(f"{version}: ")


@pytest.mark.parametrize("command", ["verify", "promote"])
def test_a_damaged_bundle_is_refused_by_file(kshot: Command, store: Path, version: str, command: str) -> None:
    path = Registry(store).live_folder() / "vote.onnx"
    path.write_bytes(b"")
    ended = kshot(command, version)
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: {path}: sha256 ")


@pytest.mark.parametrize("command", ["show", "verify", "promote"])
def test_a_version_that_the_store_lacks_is_named_with_those_it_has(
    kshot: Command, store: Path, version: str, command: str
) -> None:
    ended = kshot(command, "nothing")
    assert ended.exit_code == 1
    assert ended.stderr == f"error: {store}: no bundle 'nothing'; the store holds {version}\n"


def test_promote_makes_a_bundle_live_and_says_which(kshot: Command, store: Path, version: str) -> None:
    (store / "live").unlink()
    assert kshot("promote", version).stdout == f"{version}\n"
    assert Registry(store).live() == version


def test_rollback_goes_back_one_promotion_and_no_further(kshot: Command, store: Path, version: str) -> None:
    (store / "live").write_text("later\n")
    assert kshot("rollback").stdout == f"{version}\n"
    assert Registry(store).live() == version
    ended = kshot("rollback")
    assert ended.exit_code == 1
    assert "nothing to roll back to" in ended.stderr


def test_rollback_to_a_bundle_that_is_gone_changes_nothing(kshot: Command, store: Path, version: str) -> None:
    (store / "live").write_text("later\n")
    shutil.rmtree(store / "bundles" / version)
    ended = kshot("rollback")
    assert ended.exit_code == 1
    assert f"no bundle {version!r}" in ended.stderr
    assert Registry(store).live() == "later"


@pytest.fixture
def training(tmp_path: Path) -> Command:
    """``kshot train`` into a store of the test's own."""
    app = typer.Typer()
    app.command()(train)
    return lambda data, *options: CliRunner().invoke(
        app, ["--data", str(data), "--store", str(tmp_path / "new"), *options]
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
        (["--liked-from", "7"], "--liked-from 7: the ratings run from 1 to 5, expected a value out of these"),
        (["--liked-from", "nan"], "--liked-from nan: the ratings run from 1 to 5, expected a value out of these"),
        (["--feedback", "counts", "--liked-from", "99"], "--liked-from 99: the counts run from 1 to 5"),
    ],
)
def test_a_threshold_outside_of_the_values_is_named_with_their_scale(
    tmp_path: Path, options: list[str], message: str
) -> None:
    rows = [f"{user},{item},{1 + (user + item) % 5}" for user in range(12) for item in range(12)]
    (tmp_path / "interactions.csv").write_text("\n".join(["user_id,item_id,value", *rows, ""]))
    app = typer.Typer()
    app.command()(train)
    ended = CliRunner().invoke(app, ["--data", str(tmp_path), "--store", str(tmp_path / "new"), *options])
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


def test_training_on_a_demo_that_there_is_not_names_those_there_are(training: Command) -> None:
    ended = training("demo:books")
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert all(part in line for part in ("demo:books", "demo:movies", "demo:grocery"))


@pytest.fixture
def inspect() -> Command:
    """``kshot inspect``."""
    app = typer.Typer()
    app.command()(inspect_data)
    return lambda *arguments: CliRunner().invoke(app, [*map(str, arguments)])


def write_shop(folder: Path, genre: str) -> Path:
    """Forty users with ten events each, and items of which a column is ``genre`` with the item's number in it."""
    users, items = range(40), range(30)
    rows = [f"u{user},i{(7 * user + place) % 30},{1 + (user * place) % 5}" for user in users for place in range(10)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,value", *rows]))
    described = [f"i{item},Film {item},{genre.format(item % 3, item)}" for item in items]
    (folder / "items.csv").write_text("\n".join(["item_id,title,genre", *described]))
    return folder


def test_inspect_prints_the_page_and_five_users(inspect: Command, tmp_path: Path) -> None:
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


def test_inspect_names_what_is_wrong_in_one_line(inspect: Command, tmp_path: Path) -> None:
    ended = inspect("--data", tmp_path)
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: {tmp_path}: no interactions")
    source = write_shop(tmp_path, "g{0}")
    ended = inspect("--data", source, "--json", tmp_path / "nowhere" / "page.json")
    assert ended.exit_code == 1
    assert "page.json: cannot be written (No such file or directory)" in ended.stderr


@pytest.mark.parametrize("command", [train, evaluate, compare])
def test_columns_of_other_names_and_another_encoding_are_read(command: Callable[..., None], tmp_path: Path) -> None:
    # One item only, which is found out once the columns are read.
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
    assert "column 'item_id' has 1 usable items, expected at least 2" in ended.stderr
