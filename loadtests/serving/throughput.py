"""Load on a running service: throughput and latency of its routes, beside the bare route of the same app.

    python -m loadtests.serving.throughput                     60,000 synthetic items, 16 connections
    python -m loadtests.serving.throughput --bundles STORE     a bundle of your own
    python -m loadtests.serving.throughput --sweep connections 16, 64, 256 connections side by side; or: workers
    python -m loadtests.serving.throughput --smoke             a few seconds on 2,000 items: does it still run?

Rounds of bare, recommend, feedback follow each other, and a ratio is taken inside its round, so that a
machine that slows down slows all three. The service has one core to itself; generator and store share
another. The result goes to standard output as JSON, progress and a table to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from loadtests.kit.machine import memory_mib, provenance, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_store
from loadtests.kit.wrk import Load, WrkError, drive, wrk_path
from loadtests.serving.sweep import CONNECTIONS, WORKERS, Contestant, sweep, sweep_table
from loadtests.worlds.bundles import synthetic_bundle
from model_store.bundle import Bundle, Registry, open_bundle

ROUTES = ("bare", "recommend", "feedback")
LIST_LENGTH = 20
SMOKE = {"items": 2_000, "users": 100, "seconds": 1, "warm_up": 1, "rounds": 1}


@dataclass
class Workload:
    """The users and events of one run; feedback goes on with the next user in the next round."""

    url: str
    users: int
    connections: int
    item_ids: Path
    value: float
    next_user: int = 0

    def drive(self, route: str, seconds: int) -> Load:
        """Load on one route for ``seconds``."""
        users = str(self.users)
        arguments = {
            "bare": [],
            "recommend": [users, str(LIST_LENGTH)],
            "feedback": [users, str(self.next_user), str(self.item_ids), str(self.value)],
        }
        load = drive(self.url, f"{route}.lua", arguments[route], seconds=seconds, connections=self.connections)
        if route == "feedback":
            self.next_user += load.requests
        return load


def main() -> None:
    """Run the load test that the command line asks for."""
    options = _options()
    wrk_path()
    service_core, own_core = (None, None) if options.sweep == "workers" else two_cores()
    if own_core is not None:
        os.sched_setaffinity(0, {own_core})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-load-")))
        bundles = options.bundles or synthetic_bundle(folder, options.items, seed=0)
        bundle = open_bundle(Registry(bundles).live_folder())
        redis = stack.enter_context(running_store())
        item_ids = _write_item_ids(folder / "items", bundle)

        def start(workers: int, connections: int) -> tuple[RunningService, Workload]:
            service = stack.enter_context(running_service(bundles, redis, workers=workers, core=service_core))
            value = bundle.manifest.feedback.value_max
            return service, Workload(service.url, options.users, connections, item_ids, value)

        if options.sweep:
            result = _swept(start, options)
        else:
            service, workload = start(options.workers, options.connections)
            result = measure(workload, service, bundle, options)
    result["pinned"] = {"service": service_core, "generator and store": own_core}
    print(json.dumps(result, indent=2))
    print(sweep_table(result["sweep"], options.sweep) if options.sweep else table(result), file=sys.stderr)


def measure(workload: Workload, service: RunningService, bundle: Bundle, options: argparse.Namespace) -> dict[str, Any]:
    """Warm the service, drive the rounds, and put the figures beside what they were made on."""
    started = memory_mib(service.pid)
    warm = [workload.drive(route, options.warm_up) for route in ("bare", "feedback", "recommend")]
    before = _served(service.url)
    rounds, known = [], []
    for number in range(1, options.rounds + 1):
        known.append(round(workload.next_user / workload.users, 1))
        rounds.append(_round(workload, options.seconds, number))
    served = {source: count - before.get(source, 0) for source, count in _served(service.url).items()}
    shapes = bundle.manifest.shapes
    return {
        **provenance(),
        "bundle": {"version": bundle.version, "items": shapes.items, "state_dim": shapes.state_dim},
        "load": {name: getattr(options, name) for name in ("connections", "users", "workers", "rounds", "seconds")},
        "service": {
            "start_s": round(service.start_s, 3),
            "memory_started_mib": started,
            "memory_loaded_mib": memory_mib(service.pid),
        },
        "warm_up_requests": sum(load.requests for load in warm),
        "lists_by_source": served,
        "events_per_user": known,
        "summary": summarise(rounds),
        "rounds": [{route: load.as_json() for route, load in one.items()} for one in rounds],
    }


def _swept(start: Callable[[int, int], tuple[RunningService, Workload]], options: argparse.Namespace) -> dict[str, Any]:
    """The sweep that the command line asks for, over services warmed before."""
    if options.sweep == "workers":
        started = {str(workers): start(workers, options.connections) for workers in WORKERS}
    else:
        service, workload = start(options.workers, options.connections)
        started = {str(count): (service, replace(workload, connections=count)) for count in CONNECTIONS}
    for _, workload in started.values():
        for route in ("feedback", "recommend"):
            workload.drive(route, options.warm_up)
    contestants = [Contestant(name, workload.drive, service) for name, (service, workload) in started.items()]
    return {**provenance(), "sweep": sweep(contestants, options.rounds, options.seconds)}


def summarise(rounds: list[dict[str, Load]]) -> dict[str, dict[str, float]]:
    """Medians over the rounds; ``ratio_to_bare`` is the median of the ratios inside each round."""
    summary = {}
    for route in ROUTES:
        loads = [one[route] for one in rounds]
        summary[route] = {
            name: round(statistics.median(getattr(load, name) for load in loads), 3)
            for name in ("rate", "p50_ms", "p95_ms", "p99_ms")
        }
        ratios = [one[route].rate / one["bare"].rate for one in rounds]
        summary[route]["ratio_to_bare"] = round(statistics.median(ratios), 3)
        summary[route]["failures"] = sum(load.failures for load in loads)
    return summary


def table(result: dict[str, Any]) -> str:
    """The summary as a Markdown table."""
    lines = [
        "| route | requests/s | of bare | p50 ms | p95 ms | p99 ms | failures |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {route} | {row['rate']:,.0f} | {row['ratio_to_bare']:.0%} | {row['p50_ms']:.2f} "
        f"| {row['p95_ms']:.2f} | {row['p99_ms']:.2f} | {row['failures']} |"
        for route, row in result["summary"].items()
    ]
    service, known = result["service"], result["events_per_user"]
    lines.append(f"\nevents a user: {known[0]:.1f} in the first round, {known[-1]:.1f} in the last")
    memory = {when: service[f"memory_{when}_mib"] for when in ("started", "loaded")}
    lines.append(f"start {service['start_s']:.2f} s")
    lines += [
        f"memory {when}: {each['resident']:.0f} MiB resident, {each['own']:.0f} MiB its own"
        for when, each in memory.items()
    ]
    return "\n".join(lines)


def _round(workload: Workload, seconds: int, number: int) -> dict[str, Load]:
    print(f"round {number}", file=sys.stderr)
    return {route: workload.drive(route, seconds) for route in ROUTES}


def _served(url: str) -> dict[str, int]:
    """Lists served so far by source, from the service's own metrics."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310 - our own http address
        text = answer.read().decode()
    return {
        sample.labels["source"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "kshot_recommendations_total"
    }


def _write_item_ids(path: Path, bundle: Bundle) -> Path:
    path.write_text("".join(f"{json.dumps(item_id)}\n" for item_id in bundle.catalogue.ids), encoding="utf-8")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=Path, help="store with a live bundle, in place of a synthetic one")
    parser.add_argument("--items", type=int, default=60_000, help="rows of the synthetic catalogue")
    parser.add_argument("--users", type=int, default=10_000, help="users that requests are drawn from")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once")
    parser.add_argument("--workers", type=int, default=1, help="processes of the service")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of bare, recommend, feedback")
    parser.add_argument("--seconds", type=int, default=5, help="length of each run of a round")
    parser.add_argument("--warm-up", type=int, default=8, help="seconds on each route before the first round")
    parser.add_argument("--sweep", choices=("connections", "workers"), help="compare these in place of the routes")
    parser.add_argument("--smoke", action="store_true", help="a few seconds on a small catalogue")
    options = parser.parse_args()
    if options.smoke:
        vars(options).update(SMOKE)
    return options


if __name__ == "__main__":
    try:
        main()
    except (WrkError, ServiceError) as exc:
        sys.exit(str(exc))
