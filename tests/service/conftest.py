"""One service for what leaves a service as it was, one with two workers, and a second bundle."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running, running

from model_store.bundle import Registry
from model_store.config import TrainingConfig
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.meta.network import build

_numbers = itertools.count()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def user() -> str:
    """A user whom no other test knows."""
    return f"user-{next(_numbers)}"


@pytest.fixture(scope="session")
def service(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One worker that no test breaks."""
    with running(trained_store, tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture(scope="session")
def workers(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers that no test breaks."""
    with running(trained_store, tmp_path_factory.mktemp("workers"), "--workers", 2) as started:
        yield started


@pytest.fixture(scope="session")
def second_version(source: Path, trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with two bundles, the trained one live, and the version of the other, of another dimension."""
    store = Path(shutil.copytree(trained_store, tmp_path_factory.mktemp("two") / "store"))
    registry, dataset = Registry(store), load(str(source)).dataset
    config = TrainingConfig(dim=8, anchors=16, neighbours=10, seed=1)
    with write_draft(registry, dataset, build(dataset, dataset.events, config, (0, 1, 3, 5)), config) as draft:
        other = draft.publish(registry, results={})
    registry.rollback()
    return store, other


@pytest.fixture
def two_bundles(second_version: tuple[Path, str], tmp_path: Path) -> tuple[Registry, str]:
    """A store of the test's own with two bundles, and the version of the one that is not live."""
    store, other = second_version
    return Registry(Path(shutil.copytree(store, tmp_path / "two"))), other


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Path:
    """A store of the test's own."""
    return Path(shutil.copytree(trained_store, tmp_path / "store"))
