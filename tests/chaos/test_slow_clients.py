"""Thousands of deliberately slow clients do not affect the others."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from raw_http import answered, connected, feedback
from running_service import Running, running, wait_until

from loadtests.kit.machine import memory_mib

HEAD = b"GET /health/live HTTP/1.1\r\nHost: kshot\r\nX: "
BODY = feedback("dripping", "g1-1")[:-40]
UNREAD = b"GET /openapi.json HTTP/1.1\r\nHost: kshot\r\n\r\n"


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def is_open(connection: socket.socket) -> bool:
    """True while the service waits for more; an early response or a closed connection means False."""
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


def served(service: Running, requests: int) -> int:
    """Number of successes of honest clients, with one connection per request."""
    statuses = []
    for number in range(requests):
        user_id = f"honest-{number // 2}"
        get = b"GET /recommend?user_id=%b HTTP/1.1\r\nHost: kshot\r\n\r\n" % user_id.encode()
        with connected(service) as connection:
            connection.sendall(get if number % 2 else feedback(user_id, "g1-1"))
            statuses.append(answered(connection))
    return statuses.count(200)


def test_idle_connections_do_not_affect_others(
    trained_store: Path, tmp_path: Path, sized: Any, record_counts: Any
) -> None:
    idle, requests = sized(400, 10_000), sized(50, 1_000)
    with running(trained_store, tmp_path, env={"KSHOT_CLIENT_TIMEOUT_S": "600"}) as service, ExitStack() as stack:
        before = memory_mib(service.process.pid)["allocated"]
        connections = [stack.enter_context(connected(service)) for _ in range(idle)]
        honest = served(service, requests)
        still_open = sum(map(is_open, connections))
        growth = memory_mib(service.process.pid)["allocated"] - before
        record_counts(
            idle=still_open, requests=requests, answered=honest, kib_per_connection=round(1024 * growth / idle, 1)
        )
        assert (still_open, honest) == (idle, requests)


def test_a_flood_of_connections_beyond_the_limit_does_not_affect_others(
    trained_store: Path, tmp_path: Path, sized: Any, record_counts: Any
) -> None:
    limit = sized(50, 1_000)
    env = {"KSHOT_CLIENT_TIMEOUT_S": "600", "KSHOT_MAX_CONNECTIONS": str(limit)}
    with running(trained_store, tmp_path, env=env) as service, ExitStack() as stack:
        connections = [stack.enter_context(connected(service)) for _ in range(4 * limit)]
        honest = served(service, limit)
        still_open = sum(map(is_open, connections))
        record_counts(connections=4 * limit, limit=limit, still_open=still_open, requests=limit, answered=honest)
        assert honest == limit
        assert still_open <= limit


class Dripping:
    """Clients that send single bytes, and reconnect when the service disconnects them."""

    def __init__(self, service: Running, clients: int) -> None:
        self.disconnected = 0
        self._service, self._stack = service, ExitStack()
        self._requests = [(HEAD, b"x"), (BODY, b" ")] * (clients // 2)
        self._connections = [self._connect(begin) for begin, _ in self._requests]

    def _connect(self, begin: bytes) -> socket.socket:
        connection = self._stack.enter_context(connected(self._service))
        connection.sendall(begin)
        return connection

    def drip(self, over: threading.Event) -> None:
        while not over.wait(0.05):
            for index, (begin, more) in enumerate(self._requests):
                if is_open(self._connections[index]):
                    with contextlib.suppress(ConnectionError):
                        self._connections[index].send(more)
                else:
                    self.disconnected += 1
                    self._connections[index].close()
                    self._connections[index] = self._connect(begin)


@contextmanager
def dripping(service: Running, clients: int) -> Iterator[Dripping]:
    """Run dripping clients during the context."""
    crowd, over = Dripping(service, clients), threading.Event()
    thread = threading.Thread(target=crowd.drip, args=(over,))
    thread.start()
    try:
        yield crowd
    finally:
        over.set()
        thread.join()
        crowd._stack.close()


def test_dripping_clients_are_disconnected_and_do_not_affect_others(
    trained_store: Path, tmp_path: Path, sized: Any, record_counts: Any
) -> None:
    clients, requests = sized(40, 1_000), sized(50, 1_000)
    with (
        running(trained_store, tmp_path, env={"KSHOT_CLIENT_TIMEOUT_S": sized("0.5", "3")}) as service,
        dripping(service, clients) as crowd,
    ):
        honest = served(service, requests)
        wait_until(lambda: crowd.disconnected >= clients)
        record_counts(dripping=clients, disconnected=crowd.disconnected, requests=requests, answered=honest)
        assert honest == requests


def send_without_reading(connections: list[socket.socket], requests: int) -> list[socket.socket]:
    """Send more requests; the connections that are still open."""
    still_open = []
    for connection in connections:
        connection.setblocking(False)
        try:
            connection.send(requests * UNREAD)
        except BlockingIOError:
            pass
        except ConnectionError:
            continue
        still_open.append(connection)
    return still_open


def test_clients_that_never_read_are_disconnected_and_do_not_affect_others(
    trained_store: Path, tmp_path: Path, sized: Any, record_counts: Any
) -> None:
    clients, requests = sized(2, 20), sized(20, 200)
    with running(trained_store, tmp_path, env={"KSHOT_CLIENT_TIMEOUT_S": "1"}) as service, ExitStack() as stack:
        connections = [stack.enter_context(connected(service, receive_buffer=4096)) for _ in range(clients)]

        def all_closed() -> bool:
            connections[:] = send_without_reading(connections, 1)
            return not connections

        connections = send_without_reading(connections, 400)  # more than the buffers of both sides hold
        honest = served(service, requests)
        wait_until(all_closed)
        record_counts(
            clients=clients, requests=requests, answered=honest, memory_mib=memory_mib(service.process.pid)["allocated"]
        )
        assert honest == requests
        assert not [line for line in service.logged() if line["level"] == "error"]
