"""How cost grows with the catalogue and with the number of users: a table, and the exponent of each column.

    python -m loadtests.serving.growth                                     10k, 100k, 1M items; 10k, 1M, 5M users
    python -m loadtests.serving.growth --items 10000 40000 --users 1000 10000    small
    python -m loadtests.serving.growth --keep FOLDER                       bundles stay there for the next run

An exponent is the slope of a straight line through the logarithms: 0 is flat, 1 is linear. Latencies are those of one
connection, so that nothing waits for anything else. The service has one core, wrk and the store another; the graphs
alone are timed in this process. The result goes to standard output as JSON, the tables to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.kit.machine import memory_mib, provenance, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_store
from loadtests.kit.wrk import WrkError, drive, wrk_path
from loadtests.micro.graphs import interleaved
from loadtests.worlds.stores import synthetic_store
from loadtests.worlds.users import used_bytes, write_users
from model_store.bundle import Addends, Bundle, Registry, open_bundle, padded

EVENTS = 20
LIST_LENGTH = 20
USERS_OF_ITEMS = 10_000  # in the store while the catalogue grows
ITEMS_OF_USERS = 10_000  # in the catalogue while the users grow
REPEATS = 200
WARM_UP_S = 2

Row = dict[str, float]


@dataclass
class Serving:
    """A running service over one bundle, and what drives it.

    Attributes:
        service: the service.
        redis: address of its store.
        item_ids: file of the catalogue's ids, as feedback.lua reads it.
        value: of the events given.
        users: that requests are drawn from.
    """

    service: RunningService
    redis: str
    item_ids: Path
    value: float
    users: int = USERS_OF_ITEMS

    def latencies(self, seconds: int) -> Row:
        """Of both routes, with one connection, after a warm-up."""
        arguments = {
            "recommend": [str(self.users), str(LIST_LENGTH)],
            "feedback": [str(self.users), "0", str(self.item_ids), str(self.value)],
        }
        found: Row = {}
        for route, given in arguments.items():
            drive(self.service.url, f"{route}.lua", given, seconds=WARM_UP_S, connections=1)
            load = drive(self.service.url, f"{route}.lua", given, seconds=seconds, connections=1)
            if load.failures:
                raise ServiceError(f"{route}: {load.failures} of {load.requests} requests failed, expected none")
            found |= {f"{route}_p50_ms": round(load.p50_ms, 3), f"{route}_p99_ms": round(load.p99_ms, 3)}
        return found


def main() -> None:
    """Measure the sizes that the command line asks for."""
    options = _options()
    wrk_path()
    service_core, own_core = two_cores()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-growth-")))
        stores = [synthetic_store(folder, n_items) for n_items in options.items]
        fixed = synthetic_store(folder, ITEMS_OF_USERS)
        if own_core is not None:
            os.sched_setaffinity(0, {own_core})
        by_items = [_items_row(store, service_core, options.seconds) for store in stores]
        by_users = _users_rows(fixed, options.users, service_core, options.seconds)
    slopes = {"items": exponents(by_items, "items"), "users": exponents(by_users, "users")}
    result = provenance() | {"by_items": by_items, "by_users": by_users, "exponents": slopes}
    print(json.dumps(result, indent=2))
    print(tables(result), file=sys.stderr)


def exponents(rows: Sequence[Row], size: str) -> Row:
    """Slope of every column's logarithm over that of ``size``, least squares; none for a single row."""
    if len(rows) < 2:  # noqa: PLR2004 - a line needs two points
        return {}
    sizes = np.log([row[size] for row in rows])
    return {
        name: round(float(np.polyfit(sizes, np.log([max(row[name], 1e-9) for row in rows]), 1)[0]), 3)
        for name in rows[0]
        if name != size
    }


def tables(result: dict[str, Any]) -> str:
    """Both tables as Markdown, the exponents as their last rows."""
    return "\n\n".join(_table(result[f"by_{size}"], result["exponents"][size]) for size in ("items", "users"))


def _table(rows: Sequence[Row], slopes: Row) -> str:
    names = list(rows[0])
    cells = [[_shown(row[name]) for name in names] for row in rows]
    cells.append(["*exponent*", *(f"{slopes[name]:.2f}" for name in names[1:] if slopes)])
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004 - enough digits


def _items_row(store: Path, core: int | None, seconds: int) -> Row:
    bundle = open_bundle(Registry(store).live_folder())
    print(f"{len(bundle.catalogue):,} items", file=sys.stderr)
    with _serving(store, bundle, core) as serving:
        write_users(serving.redis, bundle, serving.users, events=EVENTS)
        latencies = serving.latencies(seconds)
        memory = memory_mib(serving.service.pid)
    return {
        "items": len(bundle.catalogue),
        **_graphs(bundle),
        **latencies,
        "start_s": round(serving.service.start_s, 3),
        "own_mib": memory["own"],
        "resident_mib": memory["resident"],
    }


def _users_rows(store: Path, sizes: Sequence[int], core: int | None, seconds: int) -> list[Row]:
    """One store that grows from size to size, so that only the largest is written whole."""
    bundle = open_bundle(Registry(store).live_folder())
    rows, there = [], 0
    with _serving(store, bundle, core) as serving:
        empty = used_bytes(serving.redis)
        for users in sorted(sizes):
            print(f"{users:,} users", file=sys.stderr)
            record = write_users(serving.redis, bundle, users, events=EVENTS, first=there)
            there = serving.users = users
            a_user = (used_bytes(serving.redis) - empty) / users  # before lists are served, which are kept too
            row = {"users": users, "record_bytes": record, "store_bytes_a_user": round(a_user, 1)}
            rows.append(row | serving.latencies(seconds) | {"own_mib": memory_mib(serving.service.pid)["own"]})
    return rows


@contextmanager
def _serving(store: Path, bundle: Bundle, core: int | None) -> Iterator[Serving]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-growth-")))
        item_ids = folder / "items"
        item_ids.write_text(
            "".join(f"{json.dumps(item_id)}\n" for item_id in bundle.catalogue.ids[:]), encoding="utf-8"
        )
        redis = stack.enter_context(running_store())
        service = stack.enter_context(running_service(store, redis, core=core))
        yield Serving(service, redis, item_ids, bundle.manifest.feedback.value_max)


def _graphs(bundle: Bundle) -> Row:
    """Adaptation and scoring of one user with as many events as the users in the store have."""
    rng = np.random.default_rng(0)
    rows = rng.choice(len(bundle.catalogue), EVENTS, replace=False)
    ones = padded([np.ones(EVENTS, dtype=np.float32)])
    excluded = Addends(np.zeros(EVENTS, dtype=np.int64), rows, np.full(EVENTS, -np.inf, dtype=np.float32))

    def adapt() -> NDArray[np.float32]:
        return bundle.graphs.adapt(
            bundle.catalogue.vectors[padded([rows])], bundle.manifest.feedback.value_max * ones, ones, ones
        )

    states = adapt()
    # One after the other: a scan of a large catalogue drives what adaptation reads out of the processor's caches.
    times = interleaved({"adapt_ms": adapt}, REPEATS)
    times |= interleaved({"score_ms": lambda: bundle.graphs.score(states, excluded, LIST_LENGTH)}, REPEATS)
    return {name: round(ms, 4) for name, ms in times.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="catalogue sizes")
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 1_000_000, 5_000_000], help="users stored")
    parser.add_argument("--seconds", type=int, default=5, help="length of each load")
    parser.add_argument("--keep", type=Path, help="folder where the bundles stay, and are found the next time")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (WrkError, ServiceError) as exc:
        sys.exit(str(exc))
