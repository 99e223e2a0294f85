"""Bundles folders that cannot be written or read: detected before a training, reported in one line with a remedy."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from model_store.bundle import Registry
from model_store.bundle.signature import make_keys, sign_manifest
from model_store.bundle.writer import draft
from model_store.commands.bundles import bundles
from model_store.commands.compare import compare
from model_store.commands.evaluate import evaluate
from model_store.commands.train import train
from model_store.config import JudgingConfig, TrainingConfig
from model_store.errors import RegistryError, SigningKeyInvalid
from model_store.flows.train_bundle import train_bundle

Spoil = Callable[[Path], None]


@contextmanager
def no_file_may_grow() -> Iterator[None]:
    """Simulate a full disk for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A bundles folder with two empty versions, of which the second is live."""
    store = tmp_path / "store"
    for version in ("one", "two"):
        (store / "bundles" / version).mkdir(parents=True)
        Registry(store).promote(version)
    return store


def a_file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")


def a_folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def contents(folder: Path) -> dict[str, str | None]:
    return {str(path): path.read_text() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("path", [".", "bundles", "checkpoints"])
def test_a_file_instead_of_a_folder_is_refused_before_the_data_is_read(tmp_path: Path, path: str) -> None:
    a_file(tmp_path / "store" / path)
    with pytest.raises(RegistryError, match=r"store.*: cannot be written \(.*\); .* or use another folder"):
        train_bundle("no data", tmp_path / "store", TrainingConfig(), JudgingConfig(), Console(quiet=True))


def test_a_full_disk_is_detected_before_the_data_is_read(tmp_path: Path) -> None:
    with no_file_may_grow(), pytest.raises(RegistryError, match=r"store: cannot be written \(File too large\)"):
        train_bundle("no data", tmp_path / "store", TrainingConfig(), JudgingConfig(), Console(quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_checks_of_a_writable_folder_change_nothing(tmp_path: Path, store: Path) -> None:
    before = contents(tmp_path)
    Registry(store).check_writable("checkpoints")
    Registry(tmp_path / "deep" / "new").check_writable("checkpoints")
    Registry(store).check_space(1)
    Registry(tmp_path / "deep" / "new").check_space(1)
    assert contents(tmp_path) == before


def test_a_folder_without_space_for_a_bundle_is_refused_with_both_sizes(store: Path) -> None:
    with pytest.raises(RegistryError, match=r"store: [\d,]+ MiB are free, expected at least 1,099,511,627,776 MiB"):
        Registry(store).check_space(1 << 60)


def test_a_full_disk_does_not_change_the_live_version(store: Path) -> None:
    before = contents(store)
    for change in (Registry(store).rollback, lambda: Registry(store).promote("one")):
        with (
            no_file_may_grow(),
            pytest.raises(RegistryError, match=r"promotions: cannot be written \(File too large\)"),
        ):
            change()
        assert contents(store) == before
    assert Registry(store).rollback() == "one"


def test_a_draft_that_cannot_be_created_names_its_folder(tmp_path: Path) -> None:
    a_file(tmp_path / "bundles")
    with pytest.raises(RegistryError, match="bundles: cannot be written"), draft(tmp_path / "bundles"):
        pass


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("live", "list"),
        ("live", "show"),
        ("live", "verify"),
        *((name, "rollback") for name in ("promotions", ".promoting")),
    ],
)
def test_a_folder_instead_of_a_file_is_reported_in_one_line(store: Path, path: str, command: str) -> None:
    a_folder(store / path)
    ended = CliRunner().invoke(bundles, [command, "--store", str(store)])
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {store / path}: cannot be ")


@pytest.mark.parametrize("command", ["rollback", "list", "show", "verify"])
def test_a_file_instead_of_the_bundles_folder_is_reported_in_one_line(tmp_path: Path, command: str) -> None:
    a_file(tmp_path / "store")
    ended = CliRunner().invoke(bundles, [command, "--store", str(tmp_path / "store")])
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path / 'store'}")


def test_a_bundle_without_a_manifest_is_reported_in_one_line(store: Path) -> None:
    ended = CliRunner().invoke(bundles, ["show", "--store", str(store)])
    assert (ended.exit_code, len(ended.stderr.splitlines())) == (1, 1)
    assert "manifest.json: expected a plain file" in ended.stderr


def test_a_live_version_that_is_not_text_is_refused(store: Path) -> None:
    (store / "live").write_bytes(b"\xff\xfe")
    with pytest.raises(RegistryError, match=r"no bundle .*; existing bundles: none"):
        Registry(store).live_folder()


def test_a_signature_that_cannot_be_written_names_its_file(tmp_path: Path) -> None:
    make_keys(tmp_path / "key")
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    with no_file_may_grow(), pytest.raises(RegistryError, match=r"manifest\.sig: cannot be written \(File too large\)"):
        sign_manifest(manifest, tmp_path / "key")
    assert not list(tmp_path.glob("*.sig*")) + list(tmp_path.glob(".manifest*"))


@pytest.mark.parametrize("name", [".", "/", "missing/key"])
def test_a_key_that_cannot_be_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SigningKeyInvalid, match="expected"):
        make_keys(Path(name))


def test_a_pair_of_keys_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with no_file_may_grow(), pytest.raises(SigningKeyInvalid, match="File too large"):
        make_keys(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
    a_file(tmp_path / "key.pub")
    with pytest.raises(SigningKeyInvalid, match=r"key\.pub: cannot be created \(File exists\)"):
        make_keys(tmp_path / "key")
    assert [path.name for path in tmp_path.iterdir()] == ["key.pub"]


@pytest.mark.parametrize("command", [train, evaluate, compare])
@pytest.mark.parametrize("name", ["missing/out.json", "folder"])
def test_numbers_that_cannot_be_written_are_refused_before_the_data_is_read(
    tmp_path: Path, command: Callable[..., None], name: str
) -> None:
    (tmp_path / "folder").mkdir()
    app = typer.Typer()
    app.command()(command)
    ended = CliRunner().invoke(app, ["--data", "no data", "--json", str(tmp_path / name)])
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"error: --json {tmp_path / name}: cannot be written (")


def test_a_failing_command_creates_no_file_for_numbers(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(evaluate)
    kept = tmp_path / "kept.json"
    kept.write_text("before")
    for path in (tmp_path / "new.json", kept):
        ended = CliRunner().invoke(app, ["--data", "no data", "--json", str(path)])
        assert "no such data source" in ended.stderr
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"kept.json": "before"}
