"""Memory per worker: one service with one, two and three workers on one bundle.

    python -m loadtests worker-memory                     1,000,000 synthetic items
    python -m loadtests worker-memory --items 60000       a smaller catalogue
    python -m loadtests worker-memory --keep DIR          bundles stay in DIR for the next run

Proportional memory (PSS) of all processes adds up to the memory that the service uses. Another worker costs the memory
that it allocates; mapped files are in memory once, however many workers read them. The largest worker counts, because
load is not spread evenly. The limit is 90 MB and 1.2 times the int8 catalogue.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.machine import children, proportional_memory_mib
from loadtests.kit.processes import START_DEADLINE_S, ServiceError, running_service, running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.wrk import drive, wrk_path
from loadtests.worlds.bundle_folders import live_bundle, synthetic_folder
from loadtests.worlds.users import write_users

WORKERS = (1, 2, 3)
USERS = 10_000
EVENTS = 20
LIST_LENGTH = 20
BASE_MB, TIMES_TABLE = 90, 1.2
MB_PER_MIB = 2**20 / 1e6


def measure(options: argparse.Namespace) -> Result:
    """Measure each number of workers in turn."""
    wrk_path()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-workers-")))
        bundles = synthetic_folder(folder, options.items)
        bundle = live_bundle(bundles)
        shapes = bundle.manifest.shapes
        redis = stack.enter_context(running_user_store())
        write_users(redis, bundle, USERS, events=EVENTS)
        del bundle  # otherwise its mapped pages are divided between the service and this process
        rows = [_row(bundles, redis, workers, options) for workers in WORKERS]
    table_mb = shapes.items * (shapes.state_dim - 1) / 1e6
    return {
        "items": shapes.items,
        "int8_table_mb": round(table_mb, 1),
        "rows": rows,
        "worker_mb": round(max(row["worker_mib"] for row in rows) * MB_PER_MIB, 1),
        "limit_mb": round(BASE_MB + TIMES_TABLE * table_mb, 1),
    }


def _row(bundles: Path, redis: str, workers: int, options: argparse.Namespace) -> dict[str, Any]:
    """Memory of all processes of a service after some load."""
    with running_service(bundles, redis, workers=workers) as service:
        serving = _serving_processes(service.pid, workers)
        load = [USERS, LIST_LENGTH]
        drive(service.url, "recommend.lua", load, seconds=options.seconds, connections=options.connections)
        memory = {pid: proportional_memory_mib(pid) for pid in (service.pid, *children(service.pid))}
    return {
        "workers": workers,
        "processes": list(memory.values()),
        "allocated_mib": round(sum(mib["allocated"] for mib in memory.values()), 1),
        "mapped_mib": round(sum(mib["mapped"] for mib in memory.values()), 1),
        "worker_mib": max(memory[pid]["allocated"] for pid in serving),
    }


def _serving_processes(pid: int, workers: int) -> list[int]:
    """Wait until every worker has mapped the catalogue; the service reports ready after its first worker."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        started = [pid] if workers == 1 else children(pid)
        serving = [child for child in started if "items.vectors.npy" in Path(f"/proc/{child}/maps").read_text("utf-8")]
        if len(serving) == workers:
            return serving
        time.sleep(0.1)
    raise ServiceError(f"fewer than {workers} workers were serving after {START_DEADLINE_S:g} s")


def table(result: Result) -> str:
    """Memory by number of workers as a Markdown table."""
    rows = [
        [
            row["workers"],
            f"{row['allocated_mib']:.0f}",
            f"{row['mapped_mib']:.0f}",
            ", ".join(f"{memory['allocated']:.0f}" for memory in row["processes"]),
        ]
        for row in result["rows"]
    ]
    worker = f"largest worker: {result['worker_mb']:.0f} MB, limit {result['limit_mb']:.0f} MB"
    header = ["workers", "allocated MiB", "mapped MiB", "allocated by each process MiB"]
    return f"{markdown(header, rows)}\n\n{worker}"


LOAD_TEST = LoadTest(
    measure,
    table,
    {"items": 1_000_000, "keep": None, "connections": 16, "seconds": 5},
    smoke={"items": 2_000, "seconds": 1},
)
