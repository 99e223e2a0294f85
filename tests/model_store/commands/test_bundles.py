"""``kshot bundles``: plain answers, one-line errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from model_store.bundle import Registry
from model_store.commands.bundles import bundles

Command = Callable[..., Result]


@pytest.fixture
def folder(trained_store: Path, tmp_path: Path) -> Path:
    """A bundles folder with a second, older promotion to go back to."""
    folder = Path(shutil.copytree(trained_store, tmp_path / "bundles"))
    registry = Registry(folder)
    (folder / "promotions").write_text(f"{registry.live()}\nlater\n")
    return folder


@pytest.fixture
def kshot(folder: Path) -> Command:
    """``kshot bundles`` on the test's folder."""
    return lambda *arguments: CliRunner().invoke(bundles, [*arguments, "--bundles", str(folder)])


@pytest.fixture
def version(folder: Path) -> str:
    return Registry(folder).live()


def test_the_live_bundle_has_a_star(kshot: Command, version: str) -> None:
    (line,) = kshot("list").stdout.splitlines()
    assert line.startswith(f"* {version}")
    assert "240 items" in line


def test_a_folder_without_bundles_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    ended = CliRunner().invoke(bundles, ["list", "--bundles", str(tmp_path)])
    assert ended.exit_code == 1
    assert ended.stderr == f"error: {tmp_path}: no live bundle; train one with: kshot train --bundles {tmp_path}\n"


def test_a_bundle_is_shown_as_json(kshot: Command, version: str) -> None:
    assert json.loads(kshot("show").stdout)["version"] == version


def test_a_whole_bundle_is_verified(kshot: Command, version: str) -> None:
    assert kshot("verify", version).stdout.startswith(f"{version}: ")


@pytest.mark.parametrize("command", ["verify", "promote"])
def test_a_damaged_bundle_is_refused_by_file(kshot: Command, folder: Path, version: str, command: str) -> None:
    path = Registry(folder).live_folder() / "vote.onnx"
    path.write_bytes(b"")
    ended = kshot(command, version)
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: {path}: sha256 ")


@pytest.mark.parametrize("command", ["show", "verify", "promote"])
def test_a_missing_version_is_named_with_those_there_are(
    kshot: Command, folder: Path, version: str, command: str
) -> None:
    ended = kshot(command, "nothing")
    assert ended.exit_code == 1
    assert ended.stderr == f"error: {folder}: no bundle 'nothing'; existing bundles: {version}\n"


def test_promote_makes_a_bundle_live_and_prints_its_version(kshot: Command, folder: Path, version: str) -> None:
    (folder / "live").unlink()
    assert kshot("promote", version).stdout == f"{version}\n"
    assert Registry(folder).live() == version


def test_rollback_goes_back_one_promotion_and_no_further(kshot: Command, folder: Path, version: str) -> None:
    (folder / "live").write_text("later\n")
    assert kshot("rollback").stdout == f"{version}\n"
    assert Registry(folder).live() == version
    ended = kshot("rollback")
    assert ended.exit_code == 1
    assert "nothing to roll back to" in ended.stderr


def test_rollback_to_a_deleted_bundle_changes_nothing(kshot: Command, folder: Path, version: str) -> None:
    (folder / "live").write_text("later\n")
    shutil.rmtree(folder / "bundles" / version)
    ended = kshot("rollback")
    assert ended.exit_code == 1
    assert f"no bundle {version!r}" in ended.stderr
    assert Registry(folder).live() == "later"


def test_the_former_name_of_the_option_still_works(folder: Path, version: str) -> None:
    ended = CliRunner().invoke(bundles, ["list", "--store", str(folder)])
    assert version in ended.stdout


def test_two_folders_are_refused(folder: Path) -> None:
    ended = CliRunner().invoke(bundles, ["list", "--store", str(folder), "--bundles", "elsewhere"])
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: --bundles elsewhere and --store {folder}: expected one of them")


def test_the_help_shows_the_new_name_only() -> None:
    text = CliRunner().invoke(bundles, ["list", "--help"]).stdout
    assert "--bundles" in text
    assert "--store" not in text
