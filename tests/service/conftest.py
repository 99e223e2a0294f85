"""One service for what leaves a service as it was, and one with two workers."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_service import Running, running

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


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Path:
    """A store of the test's own."""
    return Path(shutil.copytree(trained_store, tmp_path / "store"))
