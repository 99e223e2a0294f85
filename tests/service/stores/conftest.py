from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from store_servers import DEADLINE_S, debian_redis, free_port

from service.stores.embedded import EmbeddedStore


@pytest.fixture(autouse=True)
def no_server_outlives_its_test(tmp_path: Path) -> Iterator[None]:
    """Stop every server of a test, also of one that failed half-way."""
    yield
    for path in tmp_path.rglob("store.sock"):
        with Redis(unix_socket_path=str(path), socket_timeout=DEADLINE_S, retry=None) as client:
            client.shutdown()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """A server per test, for tests that break it."""
    store = EmbeddedStore.start(tmp_path / "users", timeout_s=DEADLINE_S)
    yield store
    store.stop()


@pytest.fixture
def admin(embedded: EmbeddedStore) -> Iterator[Redis]:
    """A client of the server that the test may break."""
    with Redis.from_url(embedded.url) as client:
        yield client


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server shared by tests that do not break it."""
    store = EmbeddedStore.start(tmp_path_factory.mktemp("users"), timeout_s=DEADLINE_S)
    yield store.url
    store.stop()


@pytest.fixture(scope="session")
def debian_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    with debian_redis(tmp_path_factory.mktemp("redis"), port, "--port", str(port)):
        yield port
