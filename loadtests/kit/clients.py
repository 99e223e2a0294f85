"""Clients that remember every answer: when it was asked for, how long it took, what it said.

wrk drives harder but only knows a run as a whole; what happens around one moment needs each request's own time.
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
class Answer:
    """One request and what came of it.

    Attributes:
        asked_at: clock of ``time.perf_counter``, seconds.
        took_ms: until the whole answer was there.
        status: of HTTP; 0 where there was no answer.
        body: the answer's.
    """

    asked_at: float
    took_ms: float
    status: int
    body: bytes


@dataclass
class Answers:
    """All answers of some clients; grows while they run."""

    all: list[Answer] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[Answer]:
        """Those under way at some time between two moments."""
        return [each for each in self.all if each.asked_at < end and each.asked_at + each.took_ms / 1e3 > start]


def failures(answers: list[Answer]) -> int:
    """How many were not answered with 200."""
    return sum(each.status != OK for each in answers)


def percentile_ms(answers: list[Answer], percent: float) -> float:
    """A percentile of their latency."""
    return float(np.percentile([each.took_ms for each in answers], percent))


@contextmanager
def asking(host: str, port: int, path: str, users: int, clients: int) -> Iterator[Answers]:
    """Keep ``clients`` connections busy with GETs of ``path``, whose {user} becomes one of ``users``, until left."""
    answers, stop = Answers(), threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(host, port, path, users, number, answers, stop))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _ask(host: str, port: int, path: str, users: int, seed: int, answers: Answers, stop: threading.Event) -> None:
    rng = random.Random(seed)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    while not stop.is_set():
        started = time.perf_counter()
        status, body = _get(connection, path.replace("{user}", f"u{rng.randrange(users)}"))
        answers.all.append(Answer(started, (time.perf_counter() - started) * 1e3, status, body))
    connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
        return 0, b""
