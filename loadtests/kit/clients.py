"""HTTP clients that record the time, latency and body of every response.

wrk reaches higher rates but reports only a whole run. Latency around one moment, such as a swap of bundles, needs each
request's own time.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

TIMEOUT_S = 10.0
OK = 200


@dataclass(frozen=True)
class Response:
    """One request and its response.

    Attributes:
        sent_at: clock of ``time.perf_counter``, seconds.
        latency_ms: from sending to the end of the body.
        status: HTTP status; 0 without a response.
        body: content of the response.
    """

    sent_at: float
    latency_ms: float
    status: int
    body: bytes


@dataclass
class Responses:
    """All responses of some clients; grows while they run."""

    all: list[Response] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[Response]:
        """Responses of requests that were under way at some time between two moments."""
        return [
            response
            for response in self.all
            if response.sent_at < end and response.sent_at + response.latency_ms / 1e3 > start
        ]


def failures(responses: list[Response]) -> int:
    """Number of responses other than 200."""
    return sum(response.status != OK for response in responses)


def percentile_ms(responses: list[Response], percent: float) -> float:
    """Percentile of the latencies."""
    return float(np.percentile([response.latency_ms for response in responses], percent))


@contextmanager
def running_clients(host: str, port: int, path: str, users: int, clients: int) -> Iterator[Responses]:
    """Send GETs over ``clients`` connections until the context ends.

    Args:
        host: address of the service.
        port: its port.
        path: path and query; ``{user}`` is replaced by a random one of ``users`` user ids.
        users: number of users.
        clients: connections, each with one request under way.
    """
    responses, stop = Responses(), threading.Event()
    threads = [
        threading.Thread(target=_send, args=(host, port, path, users, seed, responses, stop)) for seed in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield responses
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _send(host: str, port: int, path: str, users: int, seed: int, responses: Responses, stop: threading.Event) -> None:
    rng = random.Random(seed)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    while not stop.is_set():
        started = time.perf_counter()
        status, body = _get(connection, path.replace("{user}", f"u{rng.randrange(users)}"))
        responses.all.append(Response(started, (time.perf_counter() - started) * 1e3, status, body))
    connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return 0, b""
