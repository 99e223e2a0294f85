"""Throughput at growing numbers of connections or workers, as ratios inside rounds.

    python -m loadtests sweep connections      16, 64 and 256 connections on one worker
    python -m loadtests sweep workers          one worker and two, on all cores

The services run side by side; one is driven at a time, and all have a turn in every round. A ratio is the median of
the ratios inside each round. ``service µs`` and ``generator µs`` are CPU time per request, of all workers and of wrk.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from loadtests.kit.cli import LoadTest, Result, progress
from loadtests.kit.machine import cpu_seconds, pin, two_cores
from loadtests.kit.processes import RunningService, running_service, running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.wrk import Load, wrk_path
from loadtests.serving.throughput import SERVING_OPTIONS, Workload
from loadtests.worlds.bundle_folders import bundles_folder, live_bundle, write_item_ids

CONNECTIONS = (16, 64, 256)
WORKERS = (1, 2)
ROUTES = ("recommend", "feedback")

Drive = Callable[[str, int], Load]


@dataclass(frozen=True)
class Contestant:
    """A row of a sweep.

    Attributes:
        name: number of connections or workers.
        drive: route, seconds → load.
        service: its CPU time is measured.
    """

    name: str
    drive: Drive
    service: RunningService


@dataclass(frozen=True)
class Turn:
    """One run on one route.

    Attributes:
        load: figures of wrk.
        service_us, generator_us: CPU time per request, microseconds.
    """

    load: Load
    service_us: float
    generator_us: float


def measure(options: argparse.Namespace) -> Result:
    """Start the services of the sweep, warm them, and compare them."""
    wrk_path()
    service_core, load_core = (None, None) if options.over == "workers" else two_cores()
    pin(load_core)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-sweep-")))
        bundles = bundles_folder(options, folder)
        bundle = live_bundle(bundles)
        redis = stack.enter_context(running_user_store())
        item_ids, value = write_item_ids(folder / "items", bundle), bundle.manifest.feedback.value_max

        def start(workers: int) -> tuple[RunningService, Workload]:
            service = stack.enter_context(running_service(bundles, redis, workers=workers, core=service_core))
            return service, Workload(service.url, options.users, options.connections, item_ids, value)

        if options.over == "workers":
            started = {str(workers): start(workers) for workers in WORKERS}
        else:
            service, workload = start(options.workers)
            started = {str(count): (service, replace(workload, connections=count)) for count in CONNECTIONS}
        for _, workload in started.values():
            for route in ("feedback", "recommend"):
                workload.drive(route, options.warm_up)
        contestants = [Contestant(name, workload.drive, service) for name, (service, workload) in started.items()]
        return {"over": options.over, "sweep": sweep(contestants, options.rounds, options.seconds)}


def sweep(contestants: list[Contestant], rounds: int, seconds: int) -> dict[str, dict[str, Any]]:
    """Drive all contestants in turn; figures by route and name, with ratios to the first contestant."""
    turns: dict[str, list[dict[str, Turn]]] = {route: [] for route in ROUTES}
    for number in range(1, rounds + 1):
        progress(f"round {number}")
        for route in ROUTES:
            turns[route].append({contestant.name: _turn(contestant, route, seconds) for contestant in contestants})
    first = contestants[0].name
    return {
        route: {contestant.name: _figures(turns[route], contestant.name, first) for contestant in contestants}
        for route in ROUTES
    }


def table(result: Result) -> str:
    """Both routes as a Markdown table."""
    header = ["route", result["over"], "requests/s", "of the first", "p50 ms", "p99 ms"]
    header += ["service µs", "generator µs", "failures"]
    rows = [
        [
            route,
            name,
            f"{row['rate']:,.0f}",
            f"{row['ratio_to_first']:.2f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['service_us']:.0f}",
            f"{row['generator_us']:.0f}",
            row["failures"],
        ]
        for route, by_name in result["sweep"].items()
        for name, row in by_name.items()
    ]
    return markdown(header, rows)


def _turn(contestant: Contestant, route: str, seconds: int) -> Turn:
    service, generator = cpu_seconds(contestant.service.pid), _children_seconds()
    load = contestant.drive(route, seconds)
    service, generator = cpu_seconds(contestant.service.pid) - service, _children_seconds() - generator
    return Turn(load, service / load.requests * 1e6, generator / load.requests * 1e6)


def _children_seconds() -> float:
    """CPU time of this process's finished children: of wrk, since the services still run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(rounds: list[dict[str, Turn]], name: str, first: str) -> dict[str, Any]:
    turns = [turn[name] for turn in rounds]
    loads = [turn.load for turn in turns]
    figures = {
        **{figure: [getattr(load, figure) for load in loads] for figure in ("rate", "p50_ms", "p99_ms")},
        **{figure: [getattr(turn, figure) for turn in turns] for figure in ("service_us", "generator_us")},
        "ratio_to_first": [turn[name].load.rate / turn[first].load.rate for turn in rounds],
    }
    medians: dict[str, Any] = {figure: round(statistics.median(values), 3) for figure, values in figures.items()}
    return medians | {"failures": sum(load.failures for load in loads), "rates": [round(load.rate) for load in loads]}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("over", choices=("connections", "workers"), help="the number that grows")


LOAD_TEST = LoadTest(
    measure,
    table,
    SERVING_OPTIONS,
    smoke={"items": 2_000, "users": 100, "seconds": 1, "warm_up": 1, "rounds": 1},
    add_options=_add_options,
)
