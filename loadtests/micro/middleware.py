"""Cost of the middleware per request: security headers, API keys and rate limits, in microseconds.

The application behind it responds at once, so that the figures hold only the middleware. ``elapsed_us`` is the best of
a few rounds; with rate limits, which wait for the user store, 16 requests are under way at once. ``cpu_us`` is the CPU
time of this process.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.tables import markdown
from service.access import keyring
from service.access.gate import Gate
from service.api.middleware.authentication import Authentication
from service.api.middleware.rate_limits import RateLimiting
from service.api.middleware.security_headers import SecurityHeaders
from service.stores.embedded import EmbeddedStore
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames
from service.stores.redis.rates import RateLimits, RateSettings

ROUNDS = 5
CONCURRENCY = 16
NEVER_REACHED = "1000000/second"
RATES = {
    "key rate": RateSettings(key_rate=NEVER_REACHED),
    "user rate": RateSettings(user_rate=NEVER_REACHED),
    "both rates": RateSettings(NEVER_REACHED, NEVER_REACHED),
}
Figures = dict[str, dict[str, float]]


def measure(options: argparse.Namespace) -> Result:
    """Measure every layer with the layers before it."""
    with tempfile.TemporaryDirectory(prefix="kshot-middleware-") as folder:
        return {"requests_us": asyncio.run(_layers(Path(folder), options.requests))}


def table(result: Result) -> str:
    """Microseconds per request as a Markdown table."""
    figures: Figures = result["requests_us"]
    rows = [[layers, f"{row['elapsed_us']:.1f}", f"{row['cpu_us']:.1f}"] for layers, row in figures.items()]
    return markdown(["middleware", "elapsed µs", "CPU µs"], rows)


async def _layers(folder: Path, requests: int) -> Figures:
    api_key = keyring.add_key(folder / "keys.json", [keyring.Scope.READ], "", datetime.now(UTC))
    gate = Gate(folder / "keys.json")
    figures = {
        "none": await _cost(_respond, api_key, requests, 1),
        "headers": await _cost(SecurityHeaders(_respond), api_key, requests, 1),
        "headers, keys": await _cost(_behind_keys(_respond, gate), api_key, requests, 1),
    }
    store = EmbeddedStore.start(folder / "users")
    try:
        for name, settings in RATES.items():
            rates = RateLimits.connect(StoreAddress(store.url), settings, timeout_s=5, keys=KeyNames())
            guarded = _behind_keys(RateLimiting(_respond, rates=rates), gate)
            figures[f"headers, keys, {name}"] = await _cost(guarded, api_key, requests // 10, CONCURRENCY)
            await rates.close()
    finally:
        store.stop()
    return figures


async def _cost(app: ASGIApp, api_key: str, requests: int, concurrency: int) -> dict[str, float]:
    await _round(app, api_key, requests // 10, concurrency)
    rounds = [await _round(app, api_key, requests, concurrency) for _ in range(ROUNDS)]
    elapsed, cpu = (min(figures) * 1e6 / requests for figures in zip(*rounds, strict=True))
    return {"elapsed_us": round(elapsed, 2), "cpu_us": round(cpu, 2)}


async def _round(app: ASGIApp, api_key: str, requests: int, concurrency: int) -> tuple[float, float]:
    """Elapsed and CPU seconds of some requests."""
    scopes = iter([_scope(api_key) for _ in range(requests)])
    elapsed, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_send_requests(app, scopes) for _ in range(concurrency)))
    return time.perf_counter() - elapsed, time.process_time() - cpu


async def _send_requests(app: ASGIApp, scopes: Iterable[Scope]) -> None:
    for scope in scopes:
        await app(scope, _no_body, _check_status)


def _behind_keys(app: ASGIApp, gate: Gate) -> ASGIApp:
    return SecurityHeaders(Authentication(app, gate=gate, open_paths=frozenset(), open_on_loopback=frozenset()))


def _scope(api_key: str) -> Scope:
    headers = [(b"host", b"kshot"), (b"accept", b"*/*"), (b"authorization", f"Bearer {api_key}".encode())]
    return {"type": "http", "method": "GET", "path": "/recommend", "query_string": b"user_id=ann", "headers": headers}


async def _respond(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"2"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def _no_body() -> Message:
    return {"type": "http.disconnect"}


async def _check_status(message: Message) -> None:
    if message.get("status", 200) != 200:  # noqa: PLR2004 - a refusal costs less than what is measured
        raise ValueError(f"status {message['status']}, expected 200")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=20_000, help="requests per round (20000)")


LOAD_TEST = LoadTest(measure, table, smoke={"requests": 200}, add_options=_add_options)
