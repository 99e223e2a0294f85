"""One made-up world and one bundle trained on it, shared by all tests."""

from __future__ import annotations

from pathlib import Path

import made_up
import pytest
from rich.console import Console

from model_store import jobs
from model_store.config import TrainingConfig


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
