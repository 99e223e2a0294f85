"""What a worker costs in memory: the service with one, two and three of them on one bundle.

    python -m loadtests.serving.worker_memory                     1,000,000 synthetic items
    python -m loadtests.serving.worker_memory --items 60000       a smaller catalogue
    python -m loadtests.serving.worker_memory --keep FOLDER       bundles stay there for the next run

Shares (PSS) of all processes add up to what the service takes of the machine. A further worker costs what it allocates;
mapped files are there once, however many workers read them. The largest of the workers counts, since load comes to
them unevenly. The aim: at most 90 MB and 1.2 times the int8 catalogue. The result goes to standard output as JSON, a
table to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from loadtests.kit.machine import children, provenance, shares_mib
from loadtests.kit.processes import START_DEADLINE_S, ServiceError, running_service, running_store
from loadtests.kit.wrk import WrkError, drive, wrk_path
from loadtests.worlds.stores import synthetic_store
from loadtests.worlds.users import write_users
from model_store.bundle import Registry, open_bundle

WORKERS = (1, 2, 3)
USERS = 10_000
EVENTS = 20
LIST_LENGTH = 20
LOAD_S = 5
CONNECTIONS = 16
BASE_MB, TIMES_TABLE = 90, 1.2
MB_PER_MIB = 2**20 / 1e6


def main() -> None:
    """Measure the catalogue that the command line asks for."""
    options = _options()
    wrk_path()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-workers-")))
        store = synthetic_store(folder, options.items)
        bundle = open_bundle(Registry(store).live_folder())
        shapes = bundle.manifest.shapes
        redis = stack.enter_context(running_store())
        write_users(redis, bundle, USERS, events=EVENTS)
        del bundle  # its pages would be shared with the service's
        rows = [measure(store, redis, workers) for workers in WORKERS]
    table_mb = shapes.items * (shapes.state_dim - 1) / 1e6
    result = provenance() | {
        "items": shapes.items,
        "int8_table_mb": round(table_mb, 1),
        "rows": rows,
        "worker_mb": round(max(row["worker_mib"] for row in rows) * MB_PER_MIB, 1),
        "aim_mb": round(BASE_MB + TIMES_TABLE * table_mb, 1),
    }
    print(json.dumps(result, indent=2))
    print(table(result), file=sys.stderr)


def measure(store: Path, redis: str, workers: int) -> dict[str, Any]:
    """Memory of all processes of a service with so many workers, after some load."""
    with running_service(store, redis, workers=workers) as service:
        serving = _serving(service.pid, workers)
        load = [str(USERS), str(LIST_LENGTH)]
        drive(service.url, "recommend.lua", load, seconds=LOAD_S, connections=CONNECTIONS)
        each = {pid: shares_mib(pid) for pid in (service.pid, *children(service.pid))}
    return {
        "workers": workers,
        "processes": list(each.values()),
        "own_mib": round(sum(memory["own"] for memory in each.values()), 1),
        "mapped_mib": round(sum(memory["mapped"] for memory in each.values()), 1),
        "worker_mib": max(each[pid]["own"] for pid in serving),
    }


def _serving(pid: int, workers: int) -> list[int]:
    """The processes that answer, once all of them have the catalogue; the service is ready when the first has."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        started = [pid] if workers == 1 else children(pid)
        serving = [each for each in started if "items.vectors.npy" in Path(f"/proc/{each}/maps").read_text("utf-8")]
        if len(serving) == workers:
            return serving
        time.sleep(0.1)
    raise ServiceError(f"fewer than {workers} workers were serving after {START_DEADLINE_S:g} s")


def table(result: dict[str, Any]) -> str:
    """The sums as a Markdown table."""
    lines = ["| workers | allocated MiB | mapped MiB | allocated by each process MiB |", "|---|---|---|---|"]
    for row in result["rows"]:
        each = ", ".join(f"{memory['own']:.0f}" for memory in row["processes"])
        lines.append(f"| {row['workers']} | {row['own_mib']:.0f} | {row['mapped_mib']:.0f} | {each} |")
    lines.append(f"\na worker: {result['worker_mb']:.0f} MB, aim {result['aim_mb']:.0f} MB")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000, help="rows of the synthetic catalogue")
    parser.add_argument("--keep", type=Path, help="folder where the bundles stay, and are found the next time")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (WrkError, ServiceError) as exc:
        sys.exit(str(exc))
