"""A worker that is killed is replaced, and stops being counted."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from running_service import Running, running, wait_until
from store_servers import is_gone, listens

from service.server.processes import allowed_connections


def test_a_killed_worker_is_replaced_and_no_longer_counted(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path, "--workers", 2) as service:
        version = service.recommend("ann")["bundle"]
        wait_until(lambda: _said_ready(service) == 2)
        before = service.server.processes()
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(service.server.processes() - before) == 1)
        wait_until(lambda: _said_ready(service) == 3)
        assert service.metrics()["kshot_bundle_info", (version,)] == 2


def test_workers_do_not_outlive_their_supervisor_and_free_its_port(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path, "--workers", 2) as service:
        service.like("ann", "g1-1")
        before, workers = service.recommend("ann"), service.server.processes()
        service.process.kill()
        wait_until(lambda: all(is_gone(worker) for worker in workers))
        # One that was about to become a worker is none of them yet, and holds the port as well.
        wait_until(lambda: not listens(service.client.base_url.port))
    with running(trained_store, tmp_path, "--port", service.client.base_url.port) as service:
        assert service.recommend("ann") == before


def test_connections_stay_below_the_descriptors_there_can_be() -> None:
    assert allowed_connections(1) == 1
    assert allowed_connections(10**9) < 10**9


def _said_ready(service: Running) -> int:
    return [line["event"] for line in service.logged()].count("ready")
