"""Processes: killed workers and supervisors, graceful ends, users after a restart."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from running_service import DEADLINE_S, Running, running, wait_until
from store_servers import is_gone, listens

from service.server.processes import allowed_connections


def test_a_killed_worker_is_replaced_and_no_longer_counted(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path, "--workers", 2) as service:
        version = service.recommend("ann")["bundle"]
        wait_until(lambda: _ready_count(service) == 2)
        before = service.workers()
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(service.workers() - before) == 1)
        wait_until(lambda: _ready_count(service) == 3)
        assert service.metrics()["kshot_bundle_info", (version,)] == 2


def test_workers_do_not_outlive_their_supervisor_and_free_its_port(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path, "--workers", 2) as service:
        service.like("ann", "g1-1")
        before, workers = service.recommend("ann"), service.workers()
        service.process.kill()
        wait_until(lambda: all(is_gone(worker) for worker in workers))
        # A process that was just becoming a worker is not in the list, and holds the port, too.
        wait_until(lambda: not listens(service.client.base_url.port))
    with running(trained_store, tmp_path, "--port", service.client.base_url.port) as service:
        assert service.recommend("ann") == before


def refuses_connections(service: Running) -> bool:
    url = service.client.base_url
    with socket.socket() as probe:
        return probe.connect_ex((url.host, url.port)) != 0


def begin_feedback(service: Running, body: bytes) -> socket.socket:
    """A request whose head the application has read, and whose body is not sent yet."""
    url = service.client.base_url
    connection = socket.create_connection((url.host, url.port), timeout=DEADLINE_S)
    head = (
        "POST /feedback HTTP/1.1\r\nHost: kshot\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert connection.recv(100).startswith(b"HTTP/1.1 100")
    return connection


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_progress_is_answered_before_the_service_ends(
    trained_store: Path, tmp_path: Path, number: signal.Signals, workers: int
) -> None:
    body = json.dumps({"user_id": "ann", "events": [{"item_id": "g1-1", "value": 5}]}).encode()
    with running(trained_store, tmp_path, "--workers", workers) as service:
        with begin_feedback(service, body) as connection:
            service.process.send_signal(number)
            # Of two workers the idle one ends at once; a single one stops listening.
            wait_until(lambda: service.has_logged("stopped") if workers == 2 else refuses_connections(service))
            connection.sendall(body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert service.process.wait(DEADLINE_S) == 0
        assert [line["event"] for line in service.logged() if line["event"] == "stopped"] == workers * ["stopped"]
        assert not (tmp_path / "users" / "store.sock").exists()


def test_users_are_restored_at_the_next_start(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path) as service:
        service.like("ann", "g1-1", "g2-2")
        before = service.recommend("ann")
        assert service.stop() == 0
    with running(trained_store, tmp_path) as service:
        assert service.recommend("ann") == before


def test_two_services_on_one_folder_share_their_users(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path) as one, running(trained_store, tmp_path) as two:
        one.like("ann", "g1-1")
        assert two.recommend("ann") == one.recommend("ann")
        assert one.stop() == 0
        assert two.recommend("ann")["source"] == "adapted"


def test_connections_stay_below_the_limit_of_descriptors() -> None:
    assert allowed_connections(1) == 1
    assert allowed_connections(10**9) < 10**9


def _ready_count(service: Running) -> int:
    return [line["event"] for line in service.logged()].count("ready")
