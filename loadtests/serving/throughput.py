"""Throughput and latency of a running service: its routes beside a route without work.

    python -m loadtests throughput                     60,000 synthetic items, 16 connections
    python -m loadtests throughput --bundles DIR       a bundle of your own
    python -m loadtests throughput --smoke             a few seconds on 2,000 items

The routes *bare* (GET /health/live), *recommend* and *feedback* take turns in every round. A ratio is taken inside its
round, so that a machine that slows down affects all routes alike. The service has one core; the load generator and the
user store share another.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from loadtests.kit.cli import LoadTest, Result, progress
from loadtests.kit.machine import memory_mib, pin, two_cores
from loadtests.kit.processes import RunningService, running_service, running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.wrk import Load, drive, wrk_path
from loadtests.worlds.bundle_folders import bundles_folder, live_bundle, write_item_ids
from model_store.bundle import Bundle

ROUTES = ("bare", "recommend", "feedback")
LIST_LENGTH = 20
SERVING_OPTIONS = {
    "bundles": None,
    "items": 60_000,
    "users": 10_000,
    "connections": 16,
    "workers": 1,
    "rounds": 5,
    "seconds": 5,
    "warm_up": 8,
}


@dataclass
class Workload:
    """Users and events of one run.

    Attributes:
        url: base address of the service.
        users: number of users.
        connections: requests under way at once.
        item_ids: file of the catalogue's ids.
        value: value of every event.
        next_user: user of the next feedback; a round continues after the last user of the round before.
    """

    url: str
    users: int
    connections: int
    item_ids: Path
    value: float
    next_user: int = 0

    def drive(self, route: str, seconds: int) -> Load:
        """Load on one route for ``seconds``."""
        arguments: dict[str, list[object]] = {
            "bare": [],
            "recommend": [self.users, LIST_LENGTH],
            "feedback": [self.users, self.next_user, self.item_ids, self.value],
        }
        load = drive(self.url, f"{route}.lua", arguments[route], seconds=seconds, connections=self.connections)
        if route == "feedback":
            self.next_user += load.requests
        return load


def measure(options: argparse.Namespace) -> Result:
    """Start a service, warm it, and drive the rounds."""
    wrk_path()
    service_core, load_core = two_cores()
    pin(load_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-load-")))
        bundles = bundles_folder(options, folder)
        bundle = live_bundle(bundles)
        redis = stack.enter_context(running_user_store())
        service = stack.enter_context(running_service(bundles, redis, workers=options.workers, core=service_core))
        item_ids, value = write_item_ids(folder / "items", bundle), bundle.manifest.feedback.value_max
        workload = Workload(service.url, options.users, options.connections, item_ids, value)
        result = drive_rounds(workload, service, bundle, options)
    return result | {"pinned": {"service": service_core, "generator and user store": load_core}}


def drive_rounds(workload: Workload, service: RunningService, bundle: Bundle, options: argparse.Namespace) -> Result:
    """Warm the service and drive the rounds; figures with the bundle and the load that they belong to."""
    started = memory_mib(service.pid)
    warm_up = [workload.drive(route, options.warm_up) for route in ("bare", "feedback", "recommend")]
    before = _lists_by_source(service.url)
    rounds, events_per_user = [], []
    for number in range(1, options.rounds + 1):
        progress(f"round {number}")
        events_per_user.append(round(workload.next_user / workload.users, 1))
        rounds.append({route: workload.drive(route, options.seconds) for route in ROUTES})
    lists = {source: count - before.get(source, 0) for source, count in _lists_by_source(service.url).items()}
    shapes = bundle.manifest.shapes
    return {
        "bundle": {"version": bundle.version, "items": shapes.items, "state_dim": shapes.state_dim},
        "load": {name: getattr(options, name) for name in ("connections", "users", "workers", "rounds", "seconds")},
        "service": {
            "start_s": round(service.start_s, 3),
            "memory_started_mib": started,
            "memory_loaded_mib": memory_mib(service.pid),
        },
        "warm_up_requests": sum(load.requests for load in warm_up),
        "lists_by_source": lists,
        "events_per_user": events_per_user,
        "summary": summarise(rounds),
        "rounds": [{route: load.as_json() for route, load in loads.items()} for loads in rounds],
    }


def summarise(rounds: list[dict[str, Load]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; ``ratio_to_bare`` is the median of the ratios inside each round."""
    summary = {}
    for route in ROUTES:
        loads = [turns[route] for turns in rounds]
        summary[route] = {
            name: round(statistics.median(getattr(load, name) for load in loads), 3)
            for name in ("rate", "p50_ms", "p95_ms", "p99_ms")
        }
        ratios = [turns[route].rate / turns["bare"].rate for turns in rounds]
        summary[route]["ratio_to_bare"] = round(statistics.median(ratios), 3)
        summary[route]["failures"] = sum(load.failures for load in loads)
    return summary


def table(result: Result) -> str:
    """The summary as a Markdown table; below it events, start and memory."""
    rows = [
        [
            route,
            f"{row['rate']:,.0f}",
            f"{row['ratio_to_bare']:.0%}",
            f"{row['p50_ms']:.2f}",
            f"{row['p95_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            row["failures"],
        ]
        for route, row in result["summary"].items()
    ]
    service, events = result["service"], result["events_per_user"]
    memory: dict[str, Any] = {when: service[f"memory_{when}_mib"] for when in ("started", "loaded")}
    lines = [
        markdown(["route", "requests/s", "of bare", "p50 ms", "p95 ms", "p99 ms", "failures"], rows),
        "",
        f"events per user: {events[0]:.1f} in the first round, {events[-1]:.1f} in the last",
        f"start: {service['start_s']:.2f} s",
    ]
    lines += [
        f"memory {when}: {mib['resident']:.0f} MiB resident, of them {mib['allocated']:.0f} MiB allocated"
        for when, mib in memory.items()
    ]
    return "\n".join(lines)


def _lists_by_source(url: str) -> dict[str, int]:
    """Number of lists served so far by source, from the service's metrics."""
    with urllib.request.urlopen(f"{url}/metrics") as response:  # noqa: S310 - our own http address
        text = response.read().decode()
    return {
        sample.labels["source"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "kshot_recommendations_total"
    }


LOAD_TEST = LoadTest(
    measure,
    table,
    SERVING_OPTIONS,
    smoke={"items": 2_000, "users": 100, "seconds": 1, "warm_up": 1, "rounds": 1},
)
