"""What the edge costs a request: security headers, API keys, rate limits. Prints JSON, microseconds a request.

Around an application that answers at once, so that nothing else is in the figures. ``elapsed_us`` is the best of a few
rounds; of rate limits, which wait for the store, at 16 requests at a time. ``cpu_us`` is what the process itself spent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loadtests.kit.machine import provenance
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
AT_A_TIME = 16
NEVER_REACHED = "1000000/second"
RATES = {
    "key rate": RateSettings(key_rate=NEVER_REACHED),
    "user rate": RateSettings(user_rate=NEVER_REACHED),
    "both rates": RateSettings(NEVER_REACHED, NEVER_REACHED),
}


async def measure(folder: Path, requests: int) -> dict[str, Any]:
    """Microseconds a request by what stands around the application, each with all that stands before it."""
    text = keyring.add_key(folder / "keys.json", [keyring.Scope.READ], "", datetime.now(UTC))
    gate = Gate(folder / "keys.json")
    figures = {
        "nothing": await _cost(_answers, text, requests, 1),
        "headers": await _cost(SecurityHeaders(_answers), text, requests, 1),
        "headers, keys": await _cost(_behind_keys(_answers, gate), text, requests, 1),
    }
    store = EmbeddedStore.start(folder / "users")
    try:
        for name, settings in RATES.items():
            rates = RateLimits.connect(StoreAddress(store.url), settings, timeout_s=5, keys=KeyNames())
            guarded = _behind_keys(RateLimiting(_answers, rates=rates), gate)
            figures[f"headers, keys, {name}"] = await _cost(guarded, text, requests // 10, AT_A_TIME)
            await rates.close()
    finally:
        store.stop()
    return figures


async def _cost(app: ASGIApp, text: str, requests: int, at_a_time: int) -> dict[str, float]:
    await _round(app, text, requests // 10, at_a_time)
    rounds = [await _round(app, text, requests, at_a_time) for _ in range(ROUNDS)]
    elapsed, cpu = (min(figures) * 1e6 / requests for figures in zip(*rounds, strict=True))
    return {"elapsed_us": round(elapsed, 2), "cpu_us": round(cpu, 2)}


async def _round(app: ASGIApp, text: str, requests: int, at_a_time: int) -> tuple[float, float]:
    scopes = iter([_scope(text) for _ in range(requests)])
    elapsed, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(_ask(app, scopes) for _ in range(at_a_time)))
    return time.perf_counter() - elapsed, time.process_time() - cpu


async def _ask(app: ASGIApp, scopes: Iterable[Scope]) -> None:
    for scope in scopes:
        await app(scope, _nothing_comes, _goes_nowhere)


def _behind_keys(app: ASGIApp, gate: Gate) -> ASGIApp:
    return SecurityHeaders(Authentication(app, gate=gate, open_paths=frozenset(), open_on_loopback=frozenset()))


def _scope(text: str) -> Scope:
    headers = [(b"host", b"kshot"), (b"accept", b"*/*"), (b"authorization", f"Bearer {text}".encode())]
    return {"type": "http", "method": "GET", "path": "/recommend", "query_string": b"user_id=ann", "headers": headers}


async def _answers(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"2"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def _nothing_comes() -> Message:
    return {"type": "http.disconnect"}


async def _goes_nowhere(message: Message) -> None:
    if message.get("status", 200) != 200:  # noqa: PLR2004 - a refusal would be cheap, and no figure
        raise ValueError(f"status {message['status']}, expected 200")


def main() -> None:
    """Measure, with fewer requests under ``--smoke``."""
    with tempfile.TemporaryDirectory(prefix="kshot-edge-") as folder:
        figures = asyncio.run(measure(Path(folder), 200 if "--smoke" in sys.argv else 20_000))
    print(json.dumps(provenance() | {"requests_us": figures}, indent=2))


if __name__ == "__main__":
    main()
