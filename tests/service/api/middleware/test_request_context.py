"""Unexpected errors: a problem for the client, an error in the log, a count in the metrics."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
import uvicorn
from fastapi import FastAPI
from memory_store import MemoryStore
from running_service import wait_until

from service.api.app import build_app
from service.api.backend import Backend
from service.core.values import UserRecord
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow
from service.scoring.live import LiveBundle


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
    backend = Backend(LiveBundle(trained_store, 1), store, feedback, forget)
    app = build_app(backend, _lifespan, access_log=False, max_under_way=100)
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


def test_a_bug_is_a_problem_without_details_and_an_error_in_the_log(broken: httpx.Client) -> None:
    with structlog.testing.capture_logs() as logged:
        response = broken.get("/recommend", params={"user_id": "ann"})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "ann" not in response.text
    (line,) = logged
    assert (line["event"], line["log_level"], str(line["exc_info"])) == ("unexpected error", "error", "a bug about ann")


def test_a_bug_is_counted_under_its_route(broken: httpx.Client) -> None:
    with structlog.testing.capture_logs():
        broken.get("/recommend", params={"user_id": "ann"})
    series = 'kshot_request_seconds_count{method="GET",route="/recommend",status="500"}'
    wait_until(lambda: series in broken.get("/metrics").text)
