"""A shared service, one with two workers, and bundles folders and user stores per test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from running_service import DEADLINE_S, Running, running

from model_store.bundle import Registry
from service.catalogue.snapshot import Snapshot
from service.scoring.model import BundleModel
from service.stores.embedded import EmbeddedStore

_numbers = itertools.count()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def user() -> str:
    """A user id that no other test uses."""
    return f"user-{next(_numbers)}"


@pytest.fixture(scope="session")
def snapshot(trained_store: Path) -> Snapshot:
    """A snapshot of the trained bundle."""
    return Snapshot(BundleModel.load(Registry(trained_store).live_folder(), 1))


@pytest.fixture(scope="session")
def service(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service of one worker; tests leave it running."""
    with running(trained_store, tmp_path_factory.mktemp("service")) as started:
        yield started


@pytest.fixture(scope="session")
def workers(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service of two workers; tests leave it running."""
    with running(trained_store, tmp_path_factory.mktemp("workers"), "--workers", 2) as started:
        yield started


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Path:
    """A bundles folder for one test."""
    return Path(shutil.copytree(trained_store, tmp_path / "store"))


@pytest.fixture
def users(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A user store for one test, to break or to search."""
    started = EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S)
    yield started
    started.stop()


@pytest.fixture
def client(users: EmbeddedStore) -> Iterator[Redis]:
    with Redis.from_url(users.url) as connected:
        yield connected
