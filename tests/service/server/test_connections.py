"""Idle, slow-sending and slow-reading clients are disconnected in time, and other clients are served."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from raw_http import PING, answered, connected, feedback, until_closed
from running_service import Running, running, wait_until

MAX_CONNECTIONS = 8
FEW_AND_SHORT = {"KSHOT_CLIENT_TIMEOUT_S": "0.3", "KSHOT_MAX_CONNECTIONS": str(MAX_CONNECTIONS)}
FEW = {"KSHOT_MAX_CONNECTIONS": str(MAX_CONNECTIONS)}


@pytest.fixture(scope="module")
def impatient(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with a time limit of 0.3 s and 8 connections."""
    with running(trained_store, tmp_path_factory.mktemp("impatient"), env=FEW_AND_SHORT) as started:
        yield started


@pytest.fixture(scope="module")
def patient(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service with 8 connections and the default time limit."""
    with running(trained_store, tmp_path_factory.mktemp("patient"), env=FEW) as started:
        yield started


def status(response: bytes) -> int:
    return int(response.split()[1])


def drip(connection: socket.socket, endless: bytes) -> bytes:
    """Send ``endless`` again and again until the other side closes the connection; its response."""
    with contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(endless)
            connection.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                return until_closed(connection)
    return b""


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /health/live HTTP/1.1\r\nHost: kshot\r\n"])
def test_a_connection_without_a_whole_head_is_closed(impatient: Running, begun: bytes) -> None:
    with connected(impatient) as connection:
        connection.sendall(begun)
        response = until_closed(connection)
    assert not begun or status(response) == 408


def test_a_head_sent_too_slowly_is_refused(impatient: Running) -> None:
    with connected(impatient) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        assert status(drip(connection, b"a: b\r\n")) == 408


def test_empty_lines_after_a_response_do_not_keep_a_connection_open(impatient: Running) -> None:
    with connected(impatient) as connection:
        connection.sendall(PING)
        assert answered(connection) == 200
        assert drip(connection, b"\r\n") == b""


def test_a_body_sent_too_slowly_is_refused(impatient: Running, user: str) -> None:
    whole = feedback(user, "g1-1")
    with connected(impatient) as connection:
        connection.sendall(whole[:-5])
        head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status(head) == 408
    assert json.loads(body)["detail"] == "request: incomplete after 0.3 s, expected all of it within that time"
    assert impatient.recommend(user)["source"] == "cold"


def test_an_endless_head_is_refused(patient: Running) -> None:
    with connected(patient) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: " + 20_000 * b"y")
        assert status(drip(connection, 20_000 * b"y")) == 431


def test_the_limit_on_heads_does_not_apply_to_bodies(patient: Running, user: str) -> None:
    """Head and body arrive in one piece with the beginning of the next request, as on a fast network."""
    whole = feedback(user, "g1-1")
    padded = whole.replace(b"\r\n\r\n", b"\r\n\r\n" + 100_000 * b" ").replace(b"Length: ", b"Length: 1000")
    with connected(patient) as connection:
        connection.sendall(padded + PING[:10])
        assert answered(connection) == 200
        connection.sendall(PING[10:])
        assert answered(connection) == 200


def test_a_client_that_never_reads_is_disconnected_without_an_error(impatient: Running) -> None:
    requests = 100 * b"GET /openapi.json HTTP/1.1\r\nHost: kshot\r\n\r\n"

    def is_closed() -> bool:
        """Whether the connection has ended; sends more requests while it has not."""
        try:
            connection.send(requests)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    with connected(impatient, receive_buffer=4096) as connection:
        connection.settimeout(0.05)
        wait_until(is_closed)
    assert impatient.client.get("/health/live").status_code == 200
    assert not [line for line in impatient.logged() if line["level"] == "error"]


def test_the_connection_idle_for_longest_is_closed_for_a_new_one(patient: Running) -> None:
    with ExitStack() as stack:
        first, *later = [stack.enter_context(connected(patient)) for _ in range(MAX_CONNECTIONS)]
        for connection in later:
            connection.sendall(PING[:-2])  # idle, although the request has begun
        late = stack.enter_context(connected(patient))
        late.sendall(PING)
        assert answered(late) == 200
        assert until_closed(first) == b""


def test_a_connection_with_a_request_in_progress_is_never_closed_for_a_new_one(patient: Running, user: str) -> None:
    whole = feedback(user, "g1-1")
    with connected(patient) as busy, ExitStack() as stack:
        busy.sendall(whole[:-5])
        for _ in range(3 * MAX_CONNECTIONS):
            late = stack.enter_context(connected(patient))
            late.sendall(PING)
            assert answered(late) == 200
        busy.sendall(whole[-5:])
        assert answered(busy) == 200
