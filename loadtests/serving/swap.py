"""A large bundle: how long it takes to load, and what a swap under load does to the requests beside it.

    python -m loadtests.serving.swap                        1,000,000 synthetic items; makes two bundles of 2 GB each
    python -m loadtests.serving.swap --items 60000          a smaller one
    python -m loadtests.serving.swap --keep FOLDER          bundles stay there for the next run

The service has one core, the clients and the store another. Latency *during a swap* is that of all requests under way
between the promotion and the first answer of the new bundle. The result goes to standard output as JSON, a table to
standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loadtests.kit.clients import Answers, asking, failures, percentile_ms
from loadtests.kit.machine import memory_mib, provenance, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_store
from loadtests.worlds.stores import second_version, synthetic_store
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
    """A time of interest, by ``time.perf_counter``, and the service's own memory at its end."""

    start: float
    end: float
    own_mib: float


def main() -> None:
    """Measure loading, then the swaps that the command line asks for."""
    options = _options()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-swap-")))
        store = synthetic_store(folder, options.items)
        live = Registry(store).live_folder()
        loading = load_times(live)
        other = second_version(store)
        service_core, own_core = two_cores()
        if own_core is not None:
            os.sched_setaffinity(0, {own_core})
        redis = stack.enter_context(running_store())
        write_users(redis, open_bundle(live), USERS, events=EVENTS)
        service = stack.enter_context(running_service(store, redis, core=service_core))
        swaps = measure(service, Registry(store), [other, live.name] * (options.swaps // 2), options)
    result = provenance() | {"items": options.items, "loading": loading, "start_s": round(service.start_s, 3), **swaps}
    print(json.dumps(result, indent=2))
    print(table(result), file=sys.stderr)


def load_times(folder: Path) -> dict[str, float]:
    """Seconds to open a bundle in this process, medians, whole and by its parts."""
    graphs = Graphs(folder)
    parts: dict[str, Callable[[], object]] = {
        "whole": lambda: open_bundle(folder),
        "hashes": lambda: verify_files(folder),
        "catalogue": lambda: Catalogue(folder),
        "graphs": lambda: Graphs(folder),
        "golden cases": lambda: check_golden(folder, graphs),
    }
    return {name: round(statistics.median(_seconds(part) for _ in range(LOADS)), 3) for name, part in parts.items()}


def measure(
    service: RunningService, registry: Registry, versions: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Swap to each of ``versions`` in turn while clients ask; figures of each swap beside those of quiet times."""
    address = urlsplit(service.url)
    path = f"/recommend?user_id={{user}}&k={LIST_LENGTH}"
    assert address.hostname is not None  # noqa: S101 - made from a port of loopback
    assert address.port is not None  # noqa: S101 - likewise
    with asking(address.hostname, address.port, path, USERS, options.connections) as answers:
        time.sleep(options.seconds)  # warms what is cold; not measured
        started = time.perf_counter()
        time.sleep(options.seconds)
        quiet = Window(started, time.perf_counter(), memory_mib(service.pid)["own"])
        swaps = []
        for version in versions:
            swaps.append(_swap(service, registry, version))
            time.sleep(options.seconds)
        ended = time.perf_counter()
        after = Window(ended - options.seconds, ended, memory_mib(service.pid)["own"])
    # Only now: what was under way at the end of a window is known when it has been answered.
    rows = [_figures(answers, window) for window in (quiet, *swaps, after)]
    return {
        "connections": options.connections,
        "quiet": rows[0],
        "swaps": rows[1:-1],
        "after": rows[-1],
        "failures": failures(answers.all),
        "p99_over_quiet": round(max(row["p99_ms"] for row in rows[1:-1]) / rows[0]["p99_ms"], 2),
    }


def table(result: dict[str, Any]) -> str:
    """Loading and swaps as two Markdown tables."""
    loading = result["loading"]
    lines = [f"| {' | '.join(loading)} |", "|---" * len(loading) + "|"]
    lines.append(f"| {' | '.join(f'{seconds:.2f} s' for seconds in loading.values())} |")
    lines += ["", "| | seconds | requests | p50 ms | p99 ms | max ms | failures | own MiB |", "|---" * 8 + "|"]
    swaps = {f"swap {number}": swap for number, swap in enumerate(result["swaps"], 1)}
    rows = {"quiet": result["quiet"], **swaps, "after": result["after"]}
    lines += [
        f"| {name} | {row['seconds']:.2f} | {row['requests']} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} "
        f"| {row['max_ms']:.1f} | {row['failures']} | {row['own_mib']:.0f} |"
        for name, row in rows.items()
    ]
    lines.append(f"\np99 during a swap over p99 of quiet times, at worst: {result['p99_over_quiet']:.2f}")
    return "\n".join(lines)


def _swap(service: RunningService, registry: Registry, version: str) -> Window:
    started = time.perf_counter()
    registry.promote(version)
    while _served_version(service.url) != version:
        if time.perf_counter() - started > SWAP_DEADLINE_S:
            raise ServiceError(f"{version} was not taken up within {SWAP_DEADLINE_S:g} s")
        time.sleep(0.01)
    return Window(started, time.perf_counter(), memory_mib(service.pid)["own"])


def _figures(answers: Answers, window: Window) -> dict[str, Any]:
    within = answers.between(window.start, window.end)
    return {
        "seconds": round(window.end - window.start, 3),
        "requests": len(within),
        "p50_ms": round(percentile_ms(within, 50), 3),
        "p99_ms": round(percentile_ms(within, 99), 3),
        "max_ms": round(percentile_ms(within, 100), 3),
        "failures": failures(within),
        "own_mib": window.own_mib,
    }


def _served_version(url: str) -> str:
    with urllib.request.urlopen(f"{url}/health/ready") as answer:  # noqa: S310 - our own http address
        return str(json.load(answer)["bundle"])


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="rows of the synthetic catalogue")
    parser.add_argument("--keep", type=Path, help="folder where the bundles stay, and are found the next time")
    parser.add_argument("--swaps", type=int, default=4, help="swaps, there and back")
    parser.add_argument("--connections", type=int, default=8, help="requests under way at once")
    parser.add_argument("--seconds", type=float, default=5.0, help="quiet time before and after a swap")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except ServiceError as exc:
        sys.exit(str(exc))
