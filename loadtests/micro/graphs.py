"""Adaptation and scoring alone, in one process on one core, beside a single read of the catalogue.

    python -m loadtests graphs                          4,000 and 60,000 items
    python -m loadtests graphs --items 1000000          a large catalogue
    python -m loadtests graphs --items 2000000 --index approximate
    python -m loadtests graphs --bundles DIR            a bundle of your own

All timed calls take turns and every figure is a median, so that ratios hold on a machine whose speed drifts.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.machine import pin, two_cores
from loadtests.kit.tables import markdown
from loadtests.kit.timing import Call, interleaved_ms
from loadtests.worlds.bundle_folders import live_bundle
from loadtests.worlds.bundles import synthetic_bundle
from model_store.bundle import NO_SUPPORT, Addends, AllowedRows, Bundle, RankRequest, UserSupport, exclusion
from model_store.config import IndexName

LIST_LENGTH = 20
MASK_SHARES = (0.9, 0.5, 0.1)
DEFAULT_ITEMS = (4_000, 60_000)
SEEN_ITEMS = 50
RECALL_USERS = 200
BATCH_USERS = 8
Float = NDArray[np.float32]


def measure(options: argparse.Namespace) -> Result:
    """Measure synthetic bundles, and the bundle of ``--bundles``."""
    core, _ = two_cores()
    pin(core)
    sizes = options.items if options.items is not None else [] if options.bundles else DEFAULT_ITEMS
    rows = []
    for n_items in sizes:
        with tempfile.TemporaryDirectory(prefix="kshot-graphs-") as folder:
            bundles = synthetic_bundle(Path(folder), n_items, 0, options.index)
            rows.append(measure_bundle(live_bundle(bundles), options.repeats))
    if options.bundles:
        rows.append(measure_bundle(live_bundle(options.bundles), options.repeats))
    return {"list_length": LIST_LENGTH, "seen_items": SEEN_ITEMS, "repeats": options.repeats, "bundles": rows}


def table(result: Result) -> str:
    """Milliseconds of every bundle as a Markdown table, a row per figure."""
    bundles = result["bundles"]
    names = [name for name in bundles[0] if name not in {"version", "items"}] if bundles else []
    header = ["figure", *(f"{bundle['items']:,} items" for bundle in bundles)]
    return markdown(header, [[name, *(bundle.get(name, "") for bundle in bundles)] for name in names])


def measure_bundle(bundle: Bundle, repeats: int) -> dict[str, Any]:
    """Times in milliseconds, and recall, of one bundle's graphs."""
    rng = np.random.default_rng(0)
    limits, shapes = bundle.manifest.limits, bundle.manifest.shapes
    state = adapt(bundle, rng, 10)
    exclusions = _exclusions(bundle, rng)
    calls: dict[str, Call] = {
        f"adapt_{shots}_events_ms": _adaptation(bundle, rng, shots) for shots in (1, 50, limits.max_support)
    }
    calls["score_ms"] = lambda: bundle.graphs.score(state[None], exclusions, LIST_LENGTH)
    states, batch_exclusions = np.stack([state] * BATCH_USERS), _exclusions(bundle, rng, BATCH_USERS)
    calls[f"score_{BATCH_USERS}_users_ms"] = lambda: bundle.graphs.score(states, batch_exclusions, LIST_LENGTH)
    calls |= _masked_ranks(bundle, rng, state)
    calls["read_int8_table_ms"] = _table_read(rng, shapes.items * (shapes.state_dim - 1))
    times = interleaved_ms(calls, repeats)
    return {
        "version": bundle.version,
        "items": shapes.items,
        "state_dim": shapes.state_dim,
        "probed": bundle.graphs.index and f"{bundle.graphs.index.probed} of {bundle.graphs.index.cells} cells",
        **{name: round(ms, 4) for name, ms in times.items()},
        "score_over_read": round(times["score_ms"] / times["read_int8_table_ms"], 2),
        f"recall@{LIST_LENGTH}": round(recall(bundle, rng), 5),
    }


def _masked_ranks(bundle: Bundle, rng: np.random.Generator, state: Float) -> dict[str, Call]:
    """Lists of one user through the runtime: of all rows, and by masks that allow a share of them at random."""
    seen = exclusion(rng.choice(len(bundle.catalogue), SEEN_ITEMS, replace=False))
    calls: dict[str, Call] = {}
    for share in (None, *MASK_SHARES):
        allowed = None if share is None else AllowedRows(rng.random(len(bundle.catalogue)) < share)
        request = RankRequest(state, NO_SUPPORT, seen, LIST_LENGTH, allowed)
        calls["rank_ms" if share is None else f"rank_{share:.0%}_allowed_ms"] = partial(bundle.runtime.rank, [request])
    return calls


def recall(bundle: Bundle, rng: np.random.Generator) -> float:
    """Share of the float32 top list in the quantised top list, mean over users of 1 to 50 events."""
    shares = []
    for _ in range(RECALL_USERS):
        state = adapt(bundle, rng, int(rng.integers(1, 50, endpoint=True)))
        exclusions = _exclusions(bundle, rng)
        exact = bundle.catalogue.vectors @ state
        exact[exclusions.rows] = -np.inf
        best = np.argpartition(-exact, LIST_LENGTH)[:LIST_LENGTH]
        rows, _ = bundle.graphs.score(state[None], exclusions, LIST_LENGTH)
        shares.append(len(np.intersect1d(best, rows)) / LIST_LENGTH)
    return statistics.fmean(shares)


def adapt(bundle: Bundle, rng: np.random.Generator, shots: int) -> Float:
    """``user_state`` of a user with ``shots`` random events."""
    state: Float = _adaptation(bundle, rng, shots)()[0]
    return state


def _adaptation(bundle: Bundle, rng: np.random.Generator, shots: int) -> Callable[[], Float]:
    """A call of ``adapt.onnx`` for one user with ``shots`` random events."""
    feedback = bundle.manifest.feedback
    rows = rng.integers(0, len(bundle.catalogue), shots)
    values = rng.uniform(feedback.value_min, feedback.value_max, shots).astype(np.float32)
    support = UserSupport.encode(rows, values, np.zeros(shots))
    return lambda: bundle.runtime.adapt([support])


def _exclusions(bundle: Bundle, rng: np.random.Generator, users: int = 1) -> Addends:
    rows = [rng.choice(len(bundle.catalogue), SEEN_ITEMS, replace=False) for _ in range(users)]
    values = np.full(users * SEEN_ITEMS, -np.inf, np.float32)
    return Addends(np.repeat(np.arange(users), SEEN_ITEMS), np.concatenate(rows), values)


def _table_read(rng: np.random.Generator, n_bytes: int) -> Call:
    """Read the int8 table of score.onnx once: all columns but the prior, which is float32."""
    table = rng.integers(-128, 127, n_bytes // 8 * 8, dtype=np.int8).view(np.int64)
    return table.sum


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--items", type=int, nargs="*", help="items of the synthetic catalogues (4000 60000)")
    parser.add_argument("--index", type=IndexName, default=IndexName.EXACT, help="search of the synthetic bundles")


LOAD_TEST = LoadTest(
    measure,
    table,
    {"bundles": None, "repeats": 500},
    smoke={"items": [1_000], "repeats": 20},
    add_options=_add_options,
)
