"""A worker that is killed is replaced, and stops being counted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from running_service import Running, running, wait_until

from service.workers import allowed_connections


def worker_pids(service: Running) -> set[int]:
    """Processes of the service that answer."""
    parent = service.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return {int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def test_a_killed_worker_is_replaced_and_no_longer_counted(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path, "--workers", 2) as service:
        version = service.recommend("ann")["bundle"]
        wait_until(lambda: service.metrics()["kshot_bundle_info", (version,)] == 2)
        before = worker_pids(service)
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(worker_pids(service) - before) == 1)
        wait_until(lambda: [line["event"] for line in service.logged()].count("ready") == 3)
        assert service.metrics()["kshot_bundle_info", (version,)] == 2


def test_connections_stay_below_the_descriptors_there_can_be() -> None:
    assert allowed_connections(1) == 1
    assert allowed_connections(10**9) < 10**9
