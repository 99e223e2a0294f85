"""The graphs alone, in this process on one core: adaptation and scoring beside the memory they must read.

    python -m loadtests.micro.graphs                          4,000 and 60,000 items
    python -m loadtests.micro.graphs --items 1000000          the large one
    python -m loadtests.micro.graphs --items 2000000 --index approximate          candidates from an index
    python -m loadtests.micro.graphs --bundles STORE          a bundle of your own

Repetitions of everything timed follow each other in turn, and every figure is the median of its own, so that
ratios hold on a machine whose speed drifts. The result goes to standard output as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.kit.machine import provenance, two_cores
from loadtests.worlds.bundles import synthetic_bundle
from model_store.bundle import Addends, Bundle, Registry, open_bundle, padded
from model_store.config import IndexName

LIST_LENGTH = 20
SEEN_ITEMS = 50
RECALL_USERS = 200
TOGETHER = 8
Float = NDArray[np.float32]
Timings = dict[str, Callable[[], object]]


def main() -> None:
    """Measure the bundles that the command line asks for."""
    options = _options()
    core, _ = two_cores()
    if core is not None:
        os.sched_setaffinity(0, {core})
    result = provenance() | {"list_length": LIST_LENGTH, "seen_items": SEEN_ITEMS, "repeats": options.repeats}
    result["bundles"] = [_measure_synthetic(n_items, options.index, options.repeats) for n_items in options.items or ()]
    if options.bundles:
        result["bundles"].append(measure(open_bundle(Registry(options.bundles).live_folder()), options.repeats))
    print(json.dumps(result, indent=2))


def measure(bundle: Bundle, repeats: int) -> dict[str, Any]:
    """Times in milliseconds and recall of one bundle's graphs."""
    rng = np.random.default_rng(0)
    limits, shapes = bundle.manifest.limits, bundle.manifest.shapes
    state = adapt(bundle, rng, 10)
    exclusions = _exclusions(bundle, rng)
    timed: Timings = {
        f"adapt_{shots}_events_ms": _adaptation(bundle, rng, shots) for shots in (1, 50, limits.max_support)
    }
    timed["score_ms"] = lambda: bundle.graphs.score(state[None], exclusions, LIST_LENGTH)
    states, theirs = np.stack([state] * TOGETHER), _exclusions(bundle, rng, TOGETHER)
    timed[f"score_{TOGETHER}_users_ms"] = lambda: bundle.graphs.score(states, theirs, LIST_LENGTH)
    timed["read_int8_table_ms"] = _table_read(rng, shapes.items * (shapes.state_dim - 1))
    times = interleaved(timed, repeats)
    return {
        "version": bundle.version,
        "items": shapes.items,
        "state_dim": shapes.state_dim,
        "probed": bundle.graphs.index and f"{bundle.graphs.index.probed} of {bundle.graphs.index.cells} cells",
        **{name: round(ms, 4) for name, ms in times.items()},
        "score_over_read": round(times["score_ms"] / times["read_int8_table_ms"], 2),
        f"recall@{LIST_LENGTH}": round(recall(bundle, rng), 5),
    }


def interleaved(timed: Timings, repeats: int) -> dict[str, float]:
    """Median milliseconds of each call, all calls taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(repeats):
        for name, call in timed.items():
            started = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - started) * 1e3)
    return {name: statistics.median(values) for name, values in taken.items()}


def recall(bundle: Bundle, rng: np.random.Generator) -> float:
    """Share of the float32 top list that the quantised scorer finds, mean over users of 1 to 50 events."""
    found = []
    for _ in range(RECALL_USERS):
        state = adapt(bundle, rng, int(rng.integers(1, 50, endpoint=True)))
        exclusions = _exclusions(bundle, rng)
        exact = bundle.catalogue.vectors @ state
        exact[exclusions.rows] = -np.inf
        best = np.argpartition(-exact, LIST_LENGTH)[:LIST_LENGTH]
        rows, _ = bundle.graphs.score(state[None], exclusions, LIST_LENGTH)
        found.append(len(np.intersect1d(best, rows)) / LIST_LENGTH)
    return statistics.fmean(found)


def adapt(bundle: Bundle, rng: np.random.Generator, shots: int) -> Float:
    """``user_state`` of a user with ``shots`` random events."""
    state: Float = bundle.graphs.adapt(*_support(bundle, rng, shots))[0]
    return state


def _adaptation(bundle: Bundle, rng: np.random.Generator, shots: int) -> Callable[[], object]:
    support = _support(bundle, rng, shots)
    return lambda: bundle.graphs.adapt(*support)


def _support(bundle: Bundle, rng: np.random.Generator, shots: int) -> tuple[Float, Float, Float, Float]:
    """Inputs of ``adapt.onnx`` for one user, as the service pads them."""
    feedback = bundle.manifest.feedback
    rows = padded([rng.integers(0, len(bundle.catalogue), shots)])
    values = padded([rng.uniform(feedback.value_min, feedback.value_max, shots).astype(np.float32)])
    return bundle.catalogue.vectors[rows], values, np.zeros_like(values), padded([np.ones(shots, np.float32)])


def _exclusions(bundle: Bundle, rng: np.random.Generator, users: int = 1) -> Addends:
    rows = [rng.choice(len(bundle.catalogue), SEEN_ITEMS, replace=False) for _ in range(users)]
    values = np.full(users * SEEN_ITEMS, -np.inf, np.float32)
    return Addends(np.repeat(np.arange(users), SEEN_ITEMS), np.concatenate(rows), values)


def _table_read(rng: np.random.Generator, n_bytes: int) -> Callable[[], object]:
    """Reading once the int8 table that score.onnx scans: all columns but the prior's, which stays float32."""
    table = rng.integers(-128, 127, n_bytes // 8 * 8, dtype=np.int8).view(np.int64)
    return table.sum


def _measure_synthetic(n_items: int, index: IndexName, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="kshot-scorer-") as folder:
        store = synthetic_bundle(Path(folder), n_items, 0, index)
        return measure(open_bundle(Registry(store).live_folder()), repeats)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="*", help="rows of the synthetic catalogues (4000 60000)")
    parser.add_argument("--index", type=IndexName, default=IndexName.EXACT, help="of the synthetic bundles")
    parser.add_argument("--bundles", type=Path, help="store with a live bundle, in place of synthetic ones")
    parser.add_argument("--repeats", type=int, default=500, help="runs of everything timed")
    options = parser.parse_args()
    if options.items is None and options.bundles is None:
        options.items = [4_000, 60_000]
    return options


if __name__ == "__main__":
    main()
