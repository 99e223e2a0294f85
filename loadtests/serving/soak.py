"""Growth of memory, descriptors and latency over a long run at 70% of the highest rate.

    python -m loadtests soak --minutes 30                        60,000 synthetic items
    python -m loadtests soak --minutes 30 --json soak.json       with the raw samples kept in a file
    python -m loadtests soak --smoke                             some seconds on 2,000 items

Every user begins with as many events as a support can hold, so that requests do not get slower as users collect events.
The highest rate is measured first, with the same mix of requests without pauses. The exit status is 1 if a series grew
or a request failed.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests.kit.cli import LoadTest, Result, progress
from loadtests.kit.machine import memory_mib, pin, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.trend import trend
from loadtests.kit.wrk import Load, drive, wrk_path
from loadtests.worlds.bundle_folders import bundles_folder, live_bundle, write_item_ids
from model_store.bundle import Bundle

SHARE_OF_HIGHEST_RATE = 0.7
LIST_LENGTH = 20
MAX_EVENTS = 256
STEADY = "nothing grew"

# Tolerated growth over the whole run, as a share of the median; growth within chance never counts.
TOLERATED = {"allocated memory, MiB": 0.03, "open descriptors": 0.0, "p50, ms": 0.1, "p99, ms": 0.2}


@dataclass(frozen=True)
class Mix:
    """Four recommendations to one feedback, for random users.

    Attributes:
        url: base address of the service.
        users: number of users.
        item_ids: file of the catalogue's ids.
        value: value of every event.
        connections: connections, each with at most one request under way.
    """

    url: str
    users: int
    item_ids: Path
    value: float
    connections: int

    def drive(self, seconds: int, seed: int, pause_ms: int = 0) -> Load:
        """Send for ``seconds``; each connection pauses ``pause_ms`` on average after a response."""
        arguments = [self.users, LIST_LENGTH, self.item_ids, self.value, pause_ms, seed]
        return drive(self.url, "soak.lua", arguments, seconds=seconds, connections=self.connections)


@dataclass(frozen=True)
class Sample:
    """Load during one interval of the run, and state of the service at its end."""

    minutes: float
    rate: float
    failures: int
    allocated_mib: float
    descriptors: int
    p50_ms: float
    p99_ms: float


def measure(options: argparse.Namespace) -> Result:
    """Start a service, give its users full supports, and run the soak."""
    wrk_path()
    service_core, load_core = two_cores()
    pin(load_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-soak-")))
        bundles = bundles_folder(options, folder)
        bundle = live_bundle(bundles)
        redis = stack.enter_context(running_user_store())
        service = stack.enter_context(running_service(bundles, redis, core=service_core))
        progress("sending the first events of every user")
        fill(service.url, bundle, options.users)
        item_ids, value = write_item_ids(folder / "items", bundle), bundle.manifest.feedback.value_max
        return soak(Mix(service.url, options.users, item_ids, value, options.connections), service, options)


def fill(url: str, bundle: Bundle, users: int) -> None:
    """Send a full support of events for every user."""
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    rng, value = random.Random(0), bundle.manifest.feedback.value_max
    count = min(MAX_EVENTS, bundle.manifest.limits.max_support)
    for user in range(users):
        items = rng.choices(bundle.catalogue.ids, k=count)
        body = {"user_id": f"u{user}", "events": [{"item_id": item, "value": value} for item in items]}
        connection.request("POST", "/feedback", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise ServiceError(f"feedback of user u{user}: status {response.status}, {response.read()[:500]!r}")
        response.read()
    connection.close()


def soak(mix: Mix, service: RunningService, options: argparse.Namespace) -> Result:
    """Measure the highest rate, hold 70% of it, and fit trends to the samples."""
    mix.drive(options.warm_up, seed=0)
    highest = mix.drive(options.warm_up, seed=1)
    target = SHARE_OF_HIGHEST_RATE * highest.rate
    pause_ms = _pause_for(mix, target, options.warm_up)
    samples = list(_samples(mix, service, options, pause_ms))
    series = trends(samples)
    failures = sum(sample.failures for sample in samples)
    grown = [name for name, figures in series.items() if figures["grows"]]
    return {
        "minutes": round(samples[-1].minutes, 2),
        "highest_rate": round(highest.rate, 1),
        "target_rate": round(target, 1),
        "rate": round(sum(sample.rate for sample in samples) / len(samples), 1),
        "failures": failures,
        "trends": series,
        "verdict": ", ".join([*grown, f"{failures} failures"]) if grown or failures else STEADY,
        "samples": [asdict(sample) for sample in samples],
    }


def _pause_for(mix: Mix, rate: float, seconds: int) -> int:
    """Pause, ms, at which all connections together send ``rate`` requests per second; corrected twice."""
    pause_ms = 1000 * mix.connections / rate
    for seed in (2, 3):
        reached = mix.drive(seconds, seed, round(pause_ms)).rate
        pause_ms = max(0.0, pause_ms + 1000 * mix.connections * (1 / rate - 1 / reached))
    return round(pause_ms)


def _samples(mix: Mix, service: RunningService, options: argparse.Namespace, pause_ms: int) -> Iterator[Sample]:
    """One sample per interval until the time is over."""
    started = time.monotonic()
    for seed in itertools.count(4):
        load = mix.drive(options.sample_s, seed, pause_ms)
        minutes = (time.monotonic() - started) / 60
        descriptors = len(list(Path(f"/proc/{service.pid}/fd").iterdir()))
        mib = memory_mib(service.pid)["allocated"]
        progress(
            f"{minutes:.1f} of {options.minutes:g} minutes: {load.rate:,.0f}/s, {mib:.0f} MiB, {load.p99_ms:.1f} ms"
        )
        yield Sample(minutes, load.rate, load.failures, mib, descriptors, load.p50_ms, load.p99_ms)
        if minutes >= options.minutes:
            return


def trends(samples: list[Sample]) -> dict[str, dict[str, Any]]:
    """Growth of every series over the run; ``grows`` is True beyond chance and tolerance."""
    minutes = [sample.minutes for sample in samples]
    attributes = dict(zip(TOLERATED, ("allocated_mib", "descriptors", "p50_ms", "p99_ms"), strict=True))
    series = {}
    for name, attribute in attributes.items():
        fitted = trend(minutes, [float(getattr(sample, attribute)) for sample in samples])
        figures = {key: round(value, 3) for key, value in asdict(fitted).items()}
        series[name] = figures | {"grows": fitted.exceeds(TOLERATED[name] * fitted.median)}
    return series


def table(result: Result) -> str:
    """The verdict, and the trends as a Markdown table."""
    share = result["rate"] / result["highest_rate"]
    load = f"{result['minutes']:g} minutes at {result['rate']:,.0f} requests/s, {share:.0%} of the highest rate"
    rows = [
        [
            name,
            f"{series['median']:.2f}",
            f"{series['growth']:+.2f}",
            f"{series['low']:+.2f} to {series['high']:+.2f}",
            f"{TOLERATED[name] * series['median']:.2f}",
            "yes" if series["grows"] else "no",
        ]
        for name, series in result["trends"].items()
    ]
    header = ["series", "median", "growth over the run", "95% interval", "tolerated", "grows"]
    return f"{load}, {result['failures']} failures: **{result['verdict']}**\n\n{markdown(header, rows)}"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30, help="length of the run (30)")
    parser.add_argument("--sample-s", type=int, default=10, help="seconds between two samples (10)")


LOAD_TEST = LoadTest(
    measure,
    table,
    {"bundles": None, "items": 60_000, "users": 2_000, "connections": 32, "warm_up": 10},
    smoke={"items": 2_000, "users": 50, "minutes": 0.05, "sample_s": 1, "warm_up": 1},
    add_options=_add_options,
    passed=lambda result: result["verdict"] == STEADY,
)
