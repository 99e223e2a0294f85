"""Time of a request by parts: the application in one process without a network, and its parts alone.

    python -m loadtests request-path                    60,000 synthetic items
    python -m loadtests request-path --bundles DIR      a bundle of your own

A round is 16 concurrent requests. Figures are microseconds per request, of the best round, which other processes
disturbed least, and of the median round. The user store is a real one on a unix socket: the time of a route includes
its replies, and that of feedback also its disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from starlette.types import ASGIApp, Message, Scope

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.machine import pin, two_cores
from loadtests.kit.processes import running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.timing import Call, seconds
from loadtests.worlds.bundle_folders import bundles_folder, live_bundle
from loadtests.worlds.records import STARS, made_up_record
from model_store.bundle import Addends, Bundle
from service.core.support import support_of
from service.stores.records.codec import decode_record, encode_record

CONCURRENCY = 16
USERS = 400
EVENTS = 5
LIST_LENGTH = 20
BATCH_USERS = 4
ADAPTED_USERS = (1, 4, 16)  # in one call of adapt.onnx

Send = Callable[[int], Awaitable[None]]
Times = dict[str, list[float]]


def measure(options: argparse.Namespace) -> Result:
    """Measure the routes, then the parts."""
    core, _ = two_cores()
    with tempfile.TemporaryDirectory(prefix="kshot-request-path-") as folder, running_user_store() as redis:
        pin(core)
        bundles = bundles_folder(options, Path(folder))
        os.environ |= {"KSHOT_BUNDLES": str(bundles), "KSHOT_REDIS": redis, "KSHOT_LOG_LEVEL": "error"}
        os.environ |= {
            "KSHOT_DURABILITY": "fast",
            "KSHOT_STORE_TIMEOUT_MS": "60000",
            "KSHOT_FEEDBACK_DEADLINE_MS": "60000",
        }
        bundle = live_bundle(bundles)
        times_by_part = uvloop.run(routes(bundle.catalogue.ids, options.rounds)) | parts(bundle, options.rounds)
    figures = {
        part: {"best_us": round(min(times) * 1e6, 1), "median_us": round(statistics.median(times) * 1e6, 1)}
        for part, times in times_by_part.items()
    }
    return {"concurrency": CONCURRENCY, "events": EVENTS, "parts": figures}


def table(result: Result) -> str:
    """The figures as a Markdown table."""
    rows = [[part, f"{row['best_us']:.0f}", f"{row['median_us']:.0f}"] for part, row in result["parts"].items()]
    return markdown(["part", "best µs", "median µs"], rows)


async def routes(item_ids: Sequence[str], rounds: int) -> Times:
    """Seconds per request of every route, by round."""
    from service.main import create_app  # reads the environment that measure sets

    app = create_app()
    rng = np.random.default_rng(0)

    def feedback(user: int) -> Awaitable[None]:
        event = {"item_id": item_ids[int(rng.integers(len(item_ids)))], "type": "like"}
        return _request(app, "POST", "/feedback", body=json.dumps({"user_id": f"u{user}", "events": [event]}).encode())

    sends: dict[str, Send] = {
        "GET /health/live": lambda _: _request(app, "GET", "/health/live"),
        "GET /recommend": lambda user: _request(app, "GET", "/recommend", f"user_id=u{user}&k={LIST_LENGTH}".encode()),
        "POST /feedback": feedback,
    }
    async with app.router.lifespan_context(app):
        for user in range(USERS):
            for _ in range(EVENTS):
                await feedback(user)
        return {name: [await _round(send, rng) for _ in range(rounds)] for name, send in sends.items()}


async def _round(send: Send, rng: np.random.Generator) -> float:
    users = rng.choice(USERS, CONCURRENCY, replace=False).tolist()
    started = time.perf_counter()
    await asyncio.gather(*map(send, users))
    return (time.perf_counter() - started) / CONCURRENCY


async def _request(app: ASGIApp, method: str, path: str, query: bytes = b"", body: bytes = b"") -> None:
    """One request through the whole application; raises RuntimeError for a status other than 200."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1),
        "state": {},
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message.get("status", 200) != 200:  # noqa: PLR2004 - success in HTTP
            raise RuntimeError(f"{method} {path}: {message}")

    await app(scope, receive, send)


def parts(bundle: Bundle, rounds: int) -> Times:
    """Seconds per user of the parts of the routes, by run."""
    rng = np.random.default_rng(0)
    record = made_up_record(EVENTS, 0, 0)
    stored, runtime = encode_record(record), bundle.runtime
    rows = rng.integers(0, len(bundle.catalogue), EVENTS)
    support = support_of(record.events, rows, STARS, EVENTS)

    def adapt(users: int) -> Any:
        return runtime.adapt([support] * users)

    def vote() -> Addends:
        return bundle.graphs.vote(runtime.vote_inputs([support] * BATCH_USERS))

    states, addends = adapt(BATCH_USERS), vote()
    return {
        **{f"adapt.onnx, one user of {users}": _times(partial(adapt, users), rounds, users) for users in ADAPTED_USERS},
        f"vote.onnx, one user of {BATCH_USERS}": _times(vote, rounds, BATCH_USERS),
        f"score.onnx, one user of {BATCH_USERS}": _times(
            lambda: bundle.graphs.score(states, addends, LIST_LENGTH), rounds, BATCH_USERS
        ),
        "decoding a record": _times(lambda: decode_record(stored), rounds),
        "encoding a record": _times(lambda: encode_record(record), rounds),
    }


def _times(call: Call, rounds: int, users: int = 1) -> list[float]:
    """Seconds per user of each run of a call that serves ``users``."""
    return [seconds(call) / users for _ in range(rounds)]


LOAD_TEST = LoadTest(
    measure,
    table,
    {"bundles": None, "items": 60_000, "rounds": 300},
    smoke={"items": 2_000, "rounds": 3},
)
