"""One made-up world, one bundle trained on it and a second one, shared by all tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import made_up
import prepared_stores
import pytest
from prepared_stores import Prepared

from model_store.bundle import Registry


def pytest_addoption(parser: pytest.Parser) -> None:
    ready = (
        "folder made by tests/support/prepared_stores.py: its bundles are used, none is trained, torch is not needed"
    )
    parser.addoption("--prepared", type=lambda path: Prepared(Path(path)), help=ready)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def trained_store(source: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A store whose live bundle was trained on the made-up world; read only."""
    prepared: Prepared | None = pytestconfig.getoption("--prepared")
    if prepared:
        return prepared.trained
    store = tmp_path_factory.mktemp("trained") / "store"
    prepared_stores.train(source, store)
    return store


@pytest.fixture(scope="session")
def second_version(
    source: Path, trained_store: Path, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> tuple[Path, str]:
    """A store with two bundles, the trained one live, and the version of the other, of another dimension."""
    prepared: Prepared | None = pytestconfig.getoption("--prepared")
    if prepared:
        return prepared.two, prepared.other.read_text(encoding="utf-8")
    store = Path(shutil.copytree(trained_store, tmp_path_factory.mktemp("two") / "store"))
    return store, prepared_stores.add_second(source, store)


@pytest.fixture
def two_bundles(second_version: tuple[Path, str], tmp_path: Path) -> tuple[Registry, str]:
    """A store of the test's own with two bundles, and the version of the one that is not live."""
    store, other = second_version
    return Registry(Path(shutil.copytree(store, tmp_path / "two"))), other
