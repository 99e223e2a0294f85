"""Where the time of a request goes: the application in this process, without a network, and its parts alone.

    python -m loadtests.micro.request_path                 60,000 synthetic items
    python -m loadtests.micro.request_path --bundles STORE a bundle of your own

A round is 16 requests at once. Figures are microseconds a request: of the best round, which no other process disturbed,
and of the median one. The store is a real one on a unix socket, so a route's time has its answers in it, and those to
feedback its disk. The result goes to standard output as JSON, a table to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from starlette.types import ASGIApp, Message, Scope

from loadtests.kit.machine import provenance, two_cores
from loadtests.kit.processes import running_store
from loadtests.micro.codec import STARS, made_up_record
from loadtests.worlds.bundles import synthetic_bundle
from model_store.bundle import Addends, Bundle, Registry, open_bundle
from service.core.support import side_by_side, support_of
from service.stores.records.codec import decode_record, encode_record

AT_ONCE = 16
USERS = 400
EVENTS = 5
LIST_LENGTH = 20
TOGETHER = 4
ADAPTING = (1, 4, 16)  # users in one call of adapt.onnx

Ask = Callable[[int], Awaitable[None]]
Timings = dict[str, list[float]]


def main() -> None:
    """Measure the bundle that the command line asks for."""
    options = _options()
    core, _ = two_cores()
    with tempfile.TemporaryDirectory(prefix="kshot-hotpath-") as folder, running_store() as redis:
        if core is not None:
            os.sched_setaffinity(0, {core})
        bundles = options.bundles or synthetic_bundle(Path(folder), options.items, seed=0)
        os.environ |= {"KSHOT_STORE": str(bundles), "KSHOT_REDIS": redis, "KSHOT_LOG_LEVEL": "error"}
        os.environ |= {
            "KSHOT_DURABILITY": "fast",
            "KSHOT_STORE_TIMEOUT_MS": "60000",
            "KSHOT_FEEDBACK_DEADLINE_MS": "60000",
        }
        bundle = open_bundle(Registry(bundles).live_folder())
        timings = uvloop.run(routes(bundle.catalogue.ids, options.rounds)) | parts(bundle, options.rounds)
    figures = {
        name: {"best_us": round(min(times) * 1e6, 1), "median_us": round(statistics.median(times) * 1e6, 1)}
        for name, times in timings.items()
    }
    print(json.dumps(provenance() | {"at_once": AT_ONCE, "events": EVENTS, "parts": figures}, indent=2))
    print(table(figures), file=sys.stderr)


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a Markdown table."""
    lines = ["| part | best µs | median µs |", "|---|---|---|"]
    lines += [f"| {name} | {row['best_us']:.0f} | {row['median_us']:.0f} |" for name, row in figures.items()]
    return "\n".join(lines)


async def routes(item_ids: Sequence[str], rounds: int) -> Timings:
    """Seconds a request of every route, by round."""
    from service.main import create_app  # reads the environment that main sets

    app = create_app()
    rng = np.random.default_rng(0)

    def feedback(user: int) -> Awaitable[None]:
        event = {"item_id": item_ids[int(rng.integers(len(item_ids)))], "type": "like"}
        return _ask(app, "POST", "/feedback", body=json.dumps({"user_id": f"u{user}", "events": [event]}).encode())

    asks: dict[str, Ask] = {
        "GET /health/live": lambda _: _ask(app, "GET", "/health/live"),
        "GET /recommend": lambda user: _ask(app, "GET", "/recommend", f"user_id=u{user}&k={LIST_LENGTH}".encode()),
        "POST /feedback": feedback,
    }
    async with app.router.lifespan_context(app):
        for user in range(USERS):
            for _ in range(EVENTS):
                await feedback(user)
        return {name: [await _round(ask, rng) for _ in range(rounds)] for name, ask in asks.items()}


async def _round(ask: Ask, rng: np.random.Generator) -> float:
    users = rng.choice(USERS, AT_ONCE, replace=False).tolist()
    started = time.perf_counter()
    await asyncio.gather(*map(ask, users))
    return (time.perf_counter() - started) / AT_ONCE


async def _ask(app: ASGIApp, method: str, path: str, query: bytes = b"", body: bytes = b"") -> None:
    """One request through the whole application; anything but 200 is an error."""
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
        if message.get("status", 200) != 200:  # noqa: PLR2004 - what HTTP calls success
            raise RuntimeError(f"{method} {path}: {message}")

    await app(scope, receive, send)


def parts(bundle: Bundle, rounds: int) -> Timings:
    """Seconds a request of what the routes are made of, by run."""
    rng = np.random.default_rng(0)
    record = made_up_record(EVENTS, 0, 0)
    stored, vectors = encode_record(record), bundle.catalogue.vectors
    rows = rng.integers(0, len(vectors), EVENTS * TOGETHER)
    support = support_of(record.events, rows[:EVENTS], STARS, EVENTS)
    lists, weights = bundle.catalogue.neighbour_rows[rows], bundle.catalogue.neighbour_weights[rows]
    values, ages = np.tile(support.values, TOGETHER), np.tile(support.ages, TOGETHER)
    users, shots = np.arange(TOGETHER).repeat(EVENTS), np.full(TOGETHER, EVENTS, dtype=np.float32)

    def adapt(users: int) -> Any:
        together = side_by_side([support] * users)
        return bundle.graphs.adapt(vectors[together.rows], together.values, together.ages, together.mask)

    def vote() -> Addends:
        return bundle.graphs.vote(lists, weights, values, ages, users, shots)

    states, addends = adapt(TOGETHER), vote()
    return {
        **{f"adapt.onnx, a user of {users}": _times(partial(adapt, users), rounds, users) for users in ADAPTING},
        f"vote.onnx, a user of {TOGETHER}": _times(vote, rounds, TOGETHER),
        f"score.onnx, a user of {TOGETHER}": _times(
            lambda: bundle.graphs.score(states, addends, LIST_LENGTH), rounds, TOGETHER
        ),
        "record, decoded": _times(lambda: decode_record(stored), rounds),
        "record, encoded": _times(lambda: encode_record(record), rounds),
    }


def _times(call: Callable[[], object], rounds: int, share: int = 1) -> list[float]:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        taken.append((time.perf_counter() - started) / share)
    return taken


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=Path, help="store with a live bundle, in place of a synthetic one")
    parser.add_argument("--items", type=int, default=60_000, help="rows of the synthetic catalogue")
    parser.add_argument("--rounds", type=int, default=300, help="rounds of every route and runs of every part")
    return parser.parse_args()


if __name__ == "__main__":
    main()
