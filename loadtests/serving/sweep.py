"""Rates as connections and workers grow: no collapse under many clients, and what a second worker brings.

    python -m loadtests.serving.throughput --sweep connections      16, 64 and 256 connections on one worker
    python -m loadtests.serving.throughput --sweep workers          one worker and two, free on all cores

What is compared takes turns inside a round, on services that run side by side and idle until it is their turn; a
ratio is the median of the ratios inside each round. ``service µs`` and ``generator µs`` are CPU time a request, of all
workers and of wrk.
"""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtests.kit.machine import cpu_seconds
from loadtests.kit.processes import RunningService
from loadtests.kit.wrk import Load

CONNECTIONS = (16, 64, 256)
WORKERS = (1, 2)
ROUTES = ("recommend", "feedback")

Drive = Callable[[str, int], Load]


@dataclass(frozen=True)
class Contestant:
    """One row of a sweep: what it is called, how it is driven, and whose time it takes."""

    name: str
    drive: Drive
    service: RunningService


@dataclass(frozen=True)
class Turn:
    """One run of one route.

    Attributes:
        load: what wrk measured.
        service_us, generator_us: CPU time a request, microseconds.
    """

    load: Load
    service_us: float
    generator_us: float


def sweep(contestants: list[Contestant], rounds: int, seconds: int) -> dict[str, dict[str, Any]]:
    """Drive all contestants in turn; figures by route and name, ratios to the first of them."""
    turns: dict[str, list[dict[str, Turn]]] = {route: [] for route in ROUTES}
    for number in range(1, rounds + 1):
        print(f"round {number}", file=sys.stderr)
        for route in ROUTES:
            turns[route].append({each.name: _turn(each, route, seconds) for each in contestants})
    return {
        route: {each.name: _figures(turns[route], each.name, contestants[0].name) for each in contestants}
        for route in ROUTES
    }


def sweep_table(result: dict[str, dict[str, Any]], of: str) -> str:
    """One table over all routes; ``of`` is what the names count."""
    lines = [
        f"| route | {of} | requests/s | of the first | p50 ms | p99 ms | service µs | generator µs | failures |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {route} | {name} | {row['rate']:,.0f} | {row['ratio_to_first']:.2f} | {row['p50_ms']:.2f} "
        f"| {row['p99_ms']:.2f} | {row['service_us']:.0f} | {row['generator_us']:.0f} | {row['failures']} |"
        for route, rows in result.items()
        for name, row in rows.items()
    ]
    return "\n".join(lines)


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
    turns = [one[name] for one in rounds]
    loads = [turn.load for turn in turns]
    figures = {
        **{each: [getattr(load, each) for load in loads] for each in ("rate", "p50_ms", "p99_ms")},
        **{each: [getattr(turn, each) for turn in turns] for each in ("service_us", "generator_us")},
        "ratio_to_first": [one[name].load.rate / one[first].load.rate for one in rounds],
    }
    medians: dict[str, Any] = {each: round(statistics.median(values), 3) for each, values in figures.items()}
    return medians | {"failures": sum(load.failures for load in loads), "rates": [round(load.rate) for load in loads]}
