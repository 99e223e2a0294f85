"""Clients that wait, drip or do not read: their connections end in time, and they keep nobody out."""

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

MOST = 8
SHORT = {"KSHOT_CLIENT_TIMEOUT_S": "0.3", "KSHOT_MAX_CONNECTIONS": str(MOST)}
PATIENT = {"KSHOT_MAX_CONNECTIONS": str(MOST)}


@pytest.fixture(scope="module")
def impatient(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that bears with a client for 0.3 s, and with 8 of them at once."""
    with running(trained_store, tmp_path_factory.mktemp("impatient"), env=SHORT) as started:
        yield started


@pytest.fixture(scope="module")
def patient(trained_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that has only few connections, but all the time in the world."""
    with running(trained_store, tmp_path_factory.mktemp("patient"), env=PATIENT) as started:
        yield started


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def drip(connection: socket.socket, endless: bytes) -> bytes:
    """Send ``endless`` again and again until the other side has had enough; what it said."""
    with contextlib.suppress(ConnectionError):
        while True:
            connection.sendall(endless)
            connection.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                return until_closed(connection)
    return b""


@pytest.mark.parametrize("begun", [b"", b"G", b"GET /health/live HTTP/1.1\r\nHost: kshot\r\n"])
def test_a_connection_without_a_whole_head_ends(impatient: Running, begun: bytes) -> None:
    with connected(impatient) as connection:
        connection.sendall(begun)
        answer = until_closed(connection)
    assert not begun or status(answer) == 408


def test_a_head_that_drips_ends(impatient: Running) -> None:
    with connected(impatient) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        assert status(drip(connection, b"a: b\r\n")) == 408


def test_empty_lines_after_an_answer_do_not_keep_a_connection(impatient: Running) -> None:
    with connected(impatient) as connection:
        connection.sendall(PING)
        assert answered(connection) == 200
        assert drip(connection, b"\r\n") == b""


def test_a_body_that_drips_is_a_problem_and_ends(impatient: Running, user: str) -> None:
    whole = feedback(user, "g1-1")
    with connected(impatient) as connection:
        connection.sendall(whole[:-5])
        head, _, body = until_closed(connection).partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["status"] == status(head) == 408
    assert json.loads(body)["detail"] == "request: not complete after 0.3 s, expected all of it until then"
    assert impatient.recommend(user)["source"] == "cold"


def test_a_head_without_end_is_refused(patient: Running) -> None:
    with connected(patient) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nx: " + 20_000 * b"y")
        assert status(drip(connection, 20_000 * b"y")) == 431


def test_a_body_longer_than_a_head_may_be_is_no_head(patient: Running, user: str) -> None:
    """Both in one piece with the next request's beginning, as they come from a fast network."""
    whole = feedback(user, "g1-1")
    padded = whole.replace(b"\r\n\r\n", b"\r\n\r\n" + 100_000 * b" ").replace(b"Length: ", b"Length: 1000")
    with connected(patient) as connection:
        connection.sendall(padded + PING[:10])
        assert answered(connection) == 200
        connection.sendall(PING[10:])
        assert answered(connection) == 200


def test_a_client_that_never_reads_is_ended_without_an_error(impatient: Running) -> None:
    asked = 100 * b"GET /openapi.json HTTP/1.1\r\nHost: kshot\r\n\r\n"

    def ask() -> bool:
        """Whether the connection has ended; a request more as long as it takes them."""
        try:
            connection.send(asked)
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    with connected(impatient, receive_buffer=4096) as connection:
        connection.settimeout(0.05)
        wait_until(ask)
    assert impatient.client.get("/health/live").status_code == 200
    assert not [line for line in impatient.logged() if line["level"] == "error"]


def test_the_connection_that_waited_longest_makes_room(patient: Running) -> None:
    with ExitStack() as stack:
        first, *others = [stack.enter_context(connected(patient)) for _ in range(MOST)]
        for connection in others:
            connection.sendall(PING[:-2])  # waits, though it has begun
        late = stack.enter_context(connected(patient))
        late.sendall(PING)
        assert answered(late) == 200
        assert until_closed(first) == b""


def test_a_request_under_way_is_never_what_makes_room(patient: Running, user: str) -> None:
    whole = feedback(user, "g1-1")
    with connected(patient) as busy, ExitStack() as stack:
        busy.sendall(whole[:-5])
        for _ in range(3 * MOST):
            late = stack.enter_context(connected(patient))
            late.sendall(PING)
            assert answered(late) == 200
        busy.sendall(whole[-5:])
        assert answered(busy) == 200
