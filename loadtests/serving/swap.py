"""Loading of a large bundle, and latency while bundles are swapped under load.

    python -m loadtests swap                   1,000,000 synthetic items; makes two bundles of 2 GB each
    python -m loadtests swap --items 60000     a smaller catalogue
    python -m loadtests swap --keep DIR        bundles stay in DIR for the next run

The service has one core; the clients and the user store share another. The latency of a swap is that of all requests
under way between the promotion and the first response of the new bundle.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.clients import Responses, failures, percentile_ms, running_clients
from loadtests.kit.machine import memory_mib, pin, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.timing import seconds
from loadtests.worlds.bundle_folders import second_version, synthetic_folder
from loadtests.worlds.users import write_users
from model_store.bundle import Catalogue, Graphs, Registry, open_bundle
from model_store.bundle.golden import check_golden
from model_store.bundle.reader import verify_files

USERS = 10_000
EVENTS = 20
LIST_LENGTH = 20
SWAP_DEADLINE_S = 120.0
LOADS = 3


class Window(NamedTuple):
    """A span of ``time.perf_counter``, and the memory that the service had allocated at its end."""

    start: float
    end: float
    allocated_mib: float


def measure(options: argparse.Namespace) -> Result:
    """Time the loading of a bundle, then swap bundles under load."""
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-swap-")))
        bundles = synthetic_folder(folder, options.items)
        live = Registry(bundles).live_folder()
        loading = load_times(live)
        other = second_version(bundles)
        service_core, load_core = two_cores()
        pin(load_core)
        redis = stack.enter_context(running_user_store())
        write_users(redis, open_bundle(live), USERS, events=EVENTS)
        service = stack.enter_context(running_service(bundles, redis, core=service_core))
        swaps = swap_under_load(service, Registry(bundles), [other, live.name] * (options.swaps // 2), options)
    return {"items": options.items, "loading": loading, "start_s": round(service.start_s, 3), **swaps}


def load_times(folder: Path) -> dict[str, float]:
    """Median seconds to open a bundle in this process, whole and by parts."""
    graphs = Graphs(folder)
    parts: dict[str, Callable[[], object]] = {
        "whole": lambda: open_bundle(folder),
        "hashes": lambda: verify_files(folder),
        "catalogue": lambda: Catalogue(folder),
        "graphs": lambda: Graphs(folder),
        "golden cases": lambda: check_golden(folder, graphs),
    }
    return {name: round(statistics.median(seconds(part) for _ in range(LOADS)), 3) for name, part in parts.items()}


def swap_under_load(
    service: RunningService, registry: Registry, versions: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Swap to each of ``versions`` in turn while clients send requests; figures of swaps and of quiet times."""
    address = urlsplit(service.url)
    path = f"/recommend?user_id={{user}}&k={LIST_LENGTH}"
    assert address.hostname is not None  # noqa: S101 - made from a port of loopback
    assert address.port is not None  # noqa: S101 - likewise
    with running_clients(address.hostname, address.port, path, USERS, options.connections) as responses:
        time.sleep(options.seconds)  # warm-up
        started = time.perf_counter()
        time.sleep(options.seconds)
        quiet = Window(started, time.perf_counter(), _allocated_mib(service))
        swaps = []
        for version in versions:
            swaps.append(_swap(service, registry, version))
            time.sleep(options.seconds)
        ended = time.perf_counter()
        after = Window(ended - options.seconds, ended, _allocated_mib(service))
    # Computed after the clients stopped: requests under way at the end of a window have their responses by now.
    rows = [_figures(responses, window) for window in (quiet, *swaps, after)]
    return {
        "connections": options.connections,
        "quiet": rows[0],
        "swaps": rows[1:-1],
        "after": rows[-1],
        "failures": failures(responses.all),
        "p99_over_quiet": round(max(row["p99_ms"] for row in rows[1:-1]) / rows[0]["p99_ms"], 2),
    }


def table(result: Result) -> str:
    """Loading and swaps as two Markdown tables."""
    loading = markdown(list(result["loading"]), [[f"{value:.2f} s" for value in result["loading"].values()]])
    swaps = {f"swap {number}": swap for number, swap in enumerate(result["swaps"], 1)}
    rows = [
        [
            name,
            f"{row['seconds']:.2f}",
            row["requests"],
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['max_ms']:.1f}",
            row["failures"],
            f"{row['allocated_mib']:.0f}",
        ]
        for name, row in {"quiet": result["quiet"], **swaps, "after": result["after"]}.items()
    ]
    header = ["window", "seconds", "requests", "p50 ms", "p99 ms", "max ms", "failures", "allocated MiB"]
    worst = f"highest p99 of a swap over p99 of quiet times: {result['p99_over_quiet']:.2f}"
    return "\n\n".join([loading, markdown(header, rows), worst])


def _swap(service: RunningService, registry: Registry, version: str) -> Window:
    started = time.perf_counter()
    registry.promote(version)
    while _served_version(service.url) != version:
        if time.perf_counter() - started > SWAP_DEADLINE_S:
            raise ServiceError(f"bundle {version} was not served within {SWAP_DEADLINE_S:g} s of its promotion")
        time.sleep(0.01)
    return Window(started, time.perf_counter(), _allocated_mib(service))


def _allocated_mib(service: RunningService) -> float:
    return memory_mib(service.pid)["allocated"]


def _figures(responses: Responses, window: Window) -> dict[str, Any]:
    within = responses.between(window.start, window.end)
    return {
        "seconds": round(window.end - window.start, 3),
        "requests": len(within),
        "p50_ms": round(percentile_ms(within, 50), 3),
        "p99_ms": round(percentile_ms(within, 99), 3),
        "max_ms": round(percentile_ms(within, 100), 3),
        "failures": failures(within),
        "allocated_mib": window.allocated_mib,
    }


def _served_version(url: str) -> str:
    with urllib.request.urlopen(f"{url}/health/ready") as response:  # noqa: S310 - our own http address
        return str(json.load(response)["bundle"])


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--swaps", type=int, default=4, help="number of swaps, an even one (4)")


LOAD_TEST = LoadTest(
    measure,
    table,
    {"items": 1_000_000, "keep": None, "connections": 8, "seconds": 5.0},
    smoke={"items": 2_000, "seconds": 0.5, "swaps": 2},
    add_options=_add_options,
)
