"""The service as a process: what it loads, how it logs, how it ends, what it answers to its own bugs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from memory_store import MemoryStore
from running_service import DEADLINE_S, Running, running, wait_until
from store_servers import PASSWORD, tls_redis

from service.api.app import build_app
from service.api.routes.router import Parts
from service.core.values import UserRecord
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow
from service.scoring.live import LiveBundle


def test_a_service_loads_nothing_that_only_training_needs(trained_store: Path) -> None:
    program = "import sys, service.cli, service.main; service.main.create_app(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"KSHOT_STORE": str(trained_store), "KSHOT_REDIS": "redis://127.0.0.1:1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.split()
    assert "service.main" in loaded
    assert not {"torch", "polars", "scipy", "matplotlib", "jinja2", "rich.progress"} & set(loaded)


def test_every_line_of_the_log_is_json_with_event_level_and_time(service: Running) -> None:
    assert service.has_logged("ready")
    for line in service.logged():
        assert {"event", "level", "timestamp"} <= set(line)


def test_what_a_library_logs_or_warns_of_is_a_line_of_json_too() -> None:
    program = """
import logging, warnings
from service.telemetry import configure_logs
configure_logs("info")
logging.getLogger("some.library").warning("two\\nlines")
warnings.warn("old")
"""
    told = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True).stderr
    logged, warned = map(json.loads, told.splitlines())
    assert (logged["event"], logged["level"], logged["logger"]) == ("two\nlines", "warning", "some.library")
    assert warned["logger"] == "py.warnings"
    assert "timestamp" in logged.keys() & warned.keys()


def refuses_connections(service: Running) -> bool:
    url = service.client.base_url
    with socket.socket() as probe:
        return probe.connect_ex((url.host, url.port)) != 0


def begin_feedback(service: Running, body: bytes) -> socket.socket:
    """A request that the application has begun to read, and whose body is still to be sent."""
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
@pytest.mark.parametrize("stopping", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_answered_before_the_service_ends(
    trained_store: Path, tmp_path: Path, stopping: signal.Signals, workers: int
) -> None:
    body = json.dumps({"user_id": "ann", "events": [{"item_id": "g1-1", "value": 5}]}).encode()
    with running(trained_store, tmp_path, "--workers", workers) as service:
        with begin_feedback(service, body) as connection:
            service.process.send_signal(stopping)
            # Of two workers the idle one ends at once; a single one stops listening.
            wait_until(lambda: service.has_logged("stopped") if workers == 2 else refuses_connections(service))
            connection.sendall(body)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        assert service.process.wait(DEADLINE_S) == 0
        assert [line["event"] for line in service.logged() if line["event"] == "stopped"] == workers * ["stopped"]
        assert not (tmp_path / "users" / "store.sock").exists()


def test_users_are_known_again_at_the_next_start(trained_store: Path, tmp_path: Path) -> None:
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


def test_a_service_talks_to_its_store_over_tls_and_to_nobody_else(trained_store: Path, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    with tls_redis(tmp_path) as (port, certificate):
        env = {
            "KSHOT_REDIS": f"rediss://127.0.0.1:{port}/0",
            "KSHOT_REDIS_PASSWORD_FILE": str(tmp_path / "password"),
            "KSHOT_DURABILITY": "fast",
            "KSHOT_USER_RATE": "2/hour",
        }
        with running(trained_store, tmp_path / "with", env=env | {"KSHOT_REDIS_CA_FILE": str(certificate)}) as service:
            service.like("ann", "g1-1")
            assert service.recommend("ann")["source"] == "adapted"
            assert service.client.get("/recommend?user_id=ann").status_code == 429
        with running(trained_store, tmp_path / "without", env=env) as service:
            assert service.recommend("ann")["source"] == "degraded"


@contextlib.asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


class Broken(MemoryStore):
    async def read(self, user_id: str) -> UserRecord:
        raise RuntimeError(f"a bug about {user_id}")


@pytest.fixture
def broken(trained_store: Path) -> Iterator[httpx.Client]:
    """A service with a bug, on loopback."""
    store = Broken()
    feedback, forget = FeedbackFlow(store, clock=lambda: 0.0, deadline_s=1), ForgetFlow(store, deadline_s=1)
    parts = Parts(LiveBundle(trained_store, 1), store, feedback, forget)
    app = build_app(parts, _lifespan, access_log=False, max_under_way=100)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None))
        thread = threading.Thread(target=server.run, args=([sock],))
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{sock.getsockname()[1]}") as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def test_a_bug_is_a_problem_that_gives_nothing_away_and_an_error_in_the_log(broken: httpx.Client) -> None:
    with structlog.testing.capture_logs() as logged:
        answer = broken.get("/recommend", params={"user_id": "ann"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "ann" not in answer.text
    (line,) = logged
    assert (line["event"], line["log_level"], str(line["exc_info"])) == ("unexpected error", "error", "a bug about ann")


def test_a_bug_is_counted_under_its_route(broken: httpx.Client) -> None:
    with structlog.testing.capture_logs():
        broken.get("/recommend", params={"user_id": "ann"})
    series = 'kshot_request_seconds_count{method="GET",route="/recommend",status="500"}'
    wait_until(lambda: series in broken.get("/metrics").text)
