"""Times of calls in this process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]


def seconds(call: Call) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def interleaved_ms(calls: Mapping[str, Call], repeats: int) -> dict[str, float]:
    """Median milliseconds of every call.

    Calls take turns, so that a drift in the machine's speed affects all of them alike.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call) * 1e3)
    return {name: statistics.median(series) for name, series in times.items()}
