"""One made-up world, one bundle trained on it and a second one, shared by all tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import made_up
import pytest
from rich.console import Console

from model_store import jobs
from model_store.bundle import Registry
from model_store.config import TrainingConfig
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.meta.network import build


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.write_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def trained_store(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose live bundle was trained on the made-up world; read only."""
    store = tmp_path_factory.mktemp("trained") / "store"
    config = TrainingConfig(max_epochs=8, dim=16, anchors=32, neighbours=20)
    jobs.train(str(source), store, config, jobs.Judging(shots=(0, 1, 3, 5)), Console(quiet=True))
    return store


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
