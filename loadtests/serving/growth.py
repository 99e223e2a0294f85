"""Growth of cost with the catalogue and with the number of users, with exponents.

    python -m loadtests growth                                             10k, 100k, 1M items; 10k, 1M, 5M users
    python -m loadtests growth --items 10000 40000 --users 1000 10000      smaller sizes
    python -m loadtests growth --keep DIR                                  bundles stay in DIR for the next run

An exponent is the slope of a straight line through the logarithms: 0 is flat, 1 is linear. Latencies are those of a
single connection, so that requests never queue. The service has one core; wrk and the user store share another. The
graphs alone are timed in this process.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadtests.kit.cli import LoadTest, Result, progress
from loadtests.kit.machine import memory_mib, pin, two_cores
from loadtests.kit.processes import RunningService, ServiceError, running_service, running_user_store
from loadtests.kit.tables import markdown
from loadtests.kit.timing import interleaved_ms
from loadtests.kit.wrk import drive, wrk_path
from loadtests.worlds.bundle_folders import live_bundle, synthetic_folder, write_item_ids
from loadtests.worlds.users import used_bytes, write_users
from model_store.bundle import NO_SUPPORT, Bundle, RankRequest, UserSupport, exclusion

EVENTS = 20
LIST_LENGTH = 20
FIXED_USERS = 10_000  # in the user store while the catalogue grows
FIXED_ITEMS = 10_000  # in the catalogue while the user store grows
WARM_UP_S = 2

Row = dict[str, float]


@dataclass
class Serving:
    """A running service over one bundle, and its load.

    Attributes:
        service: the service.
        redis: address of its user store.
        item_ids: file of the catalogue's ids.
        value: value of every event.
        users: number of users that requests are drawn from.
    """

    service: RunningService
    redis: str
    item_ids: Path
    value: float
    users: int = FIXED_USERS

    def latencies(self, seconds: int) -> Row:
        """Latencies of both routes with one connection, after a warm-up."""
        arguments: dict[str, list[object]] = {
            "recommend": [self.users, LIST_LENGTH],
            "feedback": [self.users, 0, self.item_ids, self.value],
        }
        figures: Row = {}
        for route, route_arguments in arguments.items():
            drive(self.service.url, f"{route}.lua", route_arguments, seconds=WARM_UP_S, connections=1)
            load = drive(self.service.url, f"{route}.lua", route_arguments, seconds=seconds, connections=1)
            if load.failures:
                raise ServiceError(f"{route}: {load.failures} of {load.requests} requests failed, expected none")
            figures |= {f"{route}_p50_ms": round(load.p50_ms, 3), f"{route}_p99_ms": round(load.p99_ms, 3)}
        return figures


def measure(options: argparse.Namespace) -> Result:
    """Measure every catalogue size, then every number of users."""
    wrk_path()
    service_core, load_core = two_cores()
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-growth-")))
        folders = [synthetic_folder(folder, n_items) for n_items in options.items]
        fixed = synthetic_folder(folder, FIXED_ITEMS)
        pin(load_core)
        by_items = [_items_row(bundles, service_core, options) for bundles in folders]
        by_users = _users_rows(fixed, service_core, options)
    slopes = {"items": exponents(by_items, "items"), "users": exponents(by_users, "users")}
    return {"by_items": by_items, "by_users": by_users, "exponents": slopes}


def exponents(rows: Sequence[Row], size: str) -> Row:
    """Slope of every column's logarithm over that of ``size``, by least squares; empty for a single row."""
    if len(rows) < 2:  # noqa: PLR2004 - a line needs two points
        return {}
    sizes = np.log([row[size] for row in rows])
    return {
        name: round(float(np.polyfit(sizes, np.log([max(row[name], 1e-9) for row in rows]), 1)[0]), 3)
        for name in rows[0]
        if name != size
    }


def tables(result: Result) -> str:
    """Both tables as Markdown, with the exponents in their last rows."""
    return "\n\n".join(_table(result[f"by_{size}"], result["exponents"][size]) for size in ("items", "users"))


def _table(rows: Sequence[Row], slopes: Row) -> str:
    names = list(rows[0])
    cells = [[_text(row[name]) for name in names] for row in rows]
    cells.append(["*exponent*", *(f"{slopes[name]:.2f}" for name in names[1:] if slopes)])
    return markdown([name.replace("_", " ") for name in names], cells)


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004 - enough digits


def _items_row(bundles: Path, core: int | None, options: argparse.Namespace) -> Row:
    bundle = live_bundle(bundles)
    progress(f"{len(bundle.catalogue):,} items")
    with _serving(bundles, bundle, core) as serving:
        write_users(serving.redis, bundle, serving.users, events=EVENTS)
        latencies = serving.latencies(options.seconds)
        memory = memory_mib(serving.service.pid)
    return {
        "items": len(bundle.catalogue),
        **_graphs(bundle, options.repeats),
        **latencies,
        "start_s": round(serving.service.start_s, 3),
        "allocated_mib": memory["allocated"],
        "resident_mib": memory["resident"],
    }


def _users_rows(bundles: Path, core: int | None, options: argparse.Namespace) -> list[Row]:
    """Rows of one user store that grows from size to size."""
    bundle = live_bundle(bundles)
    rows, stored = [], 0
    with _serving(bundles, bundle, core) as serving:
        empty = used_bytes(serving.redis)
        for users in sorted(options.users):
            progress(f"{users:,} users")
            record = write_users(serving.redis, bundle, users, events=EVENTS, first=stored)
            stored = serving.users = users
            per_user = (
                used_bytes(serving.redis) - empty
            ) / users  # read before any list is served, for lists are stored too
            row = {"users": users, "record_bytes": record, "store_bytes_per_user": round(per_user, 1)}
            latencies, memory = serving.latencies(options.seconds), memory_mib(serving.service.pid)
            rows.append(row | latencies | {"allocated_mib": memory["allocated"]})
    return rows


@contextmanager
def _serving(bundles: Path, bundle: Bundle, core: int | None) -> Iterator[Serving]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kshot-growth-")))
        item_ids = write_item_ids(folder / "items", bundle)
        redis = stack.enter_context(running_user_store())
        service = stack.enter_context(running_service(bundles, redis, core=core))
        yield Serving(service, redis, item_ids, bundle.manifest.feedback.value_max)


def _graphs(bundle: Bundle, repeats: int) -> Row:
    """Adaptation and scoring of one user with as many events as the stored users have."""
    rng = np.random.default_rng(0)
    rows = rng.choice(len(bundle.catalogue), EVENTS, replace=False)
    values = np.full(EVENTS, bundle.manifest.feedback.value_max, dtype=np.float32)
    support = UserSupport.encode(rows, values, np.zeros(EVENTS))

    def adapt() -> NDArray[np.float32]:
        return bundle.runtime.adapt([support])

    request = RankRequest(adapt()[0], NO_SUPPORT, exclusion(rows), LIST_LENGTH)
    # Not interleaved: the scan of a large catalogue evicts the inputs of adaptation from the caches.
    times = interleaved_ms({"adapt_ms": adapt}, repeats)
    times |= interleaved_ms({"score_ms": lambda: bundle.runtime.rank([request])}, repeats)
    return {name: round(ms, 4) for name, ms in times.items()}


LOAD_TEST = LoadTest(
    measure,
    tables,
    {
        "items": [10_000, 100_000, 1_000_000],
        "users": [10_000, 1_000_000, 5_000_000],
        "keep": None,
        "seconds": 5,
        "repeats": 200,
    },
    smoke={"items": [1_000, 2_000], "users": [1_000, 2_000], "seconds": 1, "repeats": 20},
)
