"""Metrics and logs, declared once. Users and items never become labels.

Several workers share their values through files of prometheus-client in ``PROMETHEUS_MULTIPROC_DIR``. The variable must
be set before this module is imported; ``kshot serve --workers N`` sets it, see ``server.metrics_folder``.
"""

from __future__ import annotations

import logging
import os
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from structlog.typing import EventDict, Processor

MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

REGISTRY = CollectorRegistry()
disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the number of series

# Fine enough to distinguish 0.2 ms from 0.5 ms and 1 ms from 2 ms.
LATENCY_BUCKETS = (
    0.0002,
    0.0005,
    0.001,
    0.002,
    0.003,
    0.005,
    0.0075,
    0.01,
    0.02,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)
MODEL_BUCKETS = (2e-5, 5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2)

requests = Histogram(
    "kshot_request_seconds",
    "Time from a request to the end of its response, by route.",
    ["method", "route", "status"],
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)
adaptation = Histogram(
    "kshot_adapt_seconds", "Time of the inner loop per user.", buckets=MODEL_BUCKETS, registry=REGISTRY
)
scoring = Histogram(
    "kshot_score_seconds",
    "Time to vote for, score and rank the catalogue, per list.",
    buckets=MODEL_BUCKETS,
    registry=REGISTRY,
)
feedback_events = Counter(
    "kshot_feedback_events_total",
    "Feedback events accepted, by type of the bundle's vocabulary.",
    ["type"],
    registry=REGISTRY,
)
feedback_duplicates = Counter(
    "kshot_feedback_duplicates_total", "Feedback events that were accepted before.", registry=REGISTRY
)
feedback_unknown = Counter(
    "kshot_feedback_unknown_items_total",
    "Feedback events about items that the bundle does not know.",
    registry=REGISTRY,
)
hits = Counter(
    "kshot_hit_rate_hits_total",
    "Positive feedback events whose item was in the user's last list.",
    registry=REGISTRY,
)
hit_candidates = Counter(
    "kshot_hit_rate_events_total",
    "Positive feedback events, in the user's last list or not.",
    registry=REGISTRY,
)
recommendations = Counter(
    "kshot_recommendations_total",
    "Lists served, by source: cold, adapted or degraded.",
    ["source"],
    registry=REGISTRY,
)
store_hits = Counter("kshot_store_hits_total", "Reads that returned the user with a current state.", registry=REGISTRY)
store_misses = Counter(
    "kshot_store_misses_total", "Reads that returned no user, or a state of another bundle.", registry=REGISTRY
)
store_errors = Counter(
    "kshot_store_errors_total", "Operations that failed because the user store refused or timed out.", registry=REGISTRY
)
overload_refusals = Counter(
    "kshot_overload_refusals_total", "Requests refused because too many were in progress.", registry=REGISTRY
)
malformed_requests = Counter(
    "kshot_malformed_requests_total", "Requests refused because they are not HTTP.", registry=REGISTRY
)
key_refusals = Counter(
    "kshot_key_refusals_total",
    "Requests refused for their API key, by reason: absent, invalid, scope or busy.",
    ["reason"],
    registry=REGISTRY,
)
rate_refusals = Counter(
    "kshot_rate_refusals_total",
    "Requests refused by a rate limit, by its subject: key or user.",
    ["by"],
    registry=REGISTRY,
)
rate_misses = Counter(
    "kshot_rate_misses_total",
    "Requests passed without counting, because the store of the rate limits did not answer.",
    registry=REGISTRY,
)
bundle_info = Gauge(
    "kshot_bundle_info",
    "Workers that serve this version.",
    ["version"],
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
bundle_age = Gauge(
    "kshot_bundle_age_seconds", "Age of the live bundle.", registry=REGISTRY, multiprocess_mode="mostrecent"
)
bundle_reloads = Counter(
    "kshot_bundle_reloads_total",
    "Attempts to swap to another bundle, by result: ok or refused.",
    ["result"],
    registry=REGISTRY,
)

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def expose() -> bytes:
    """The metrics of all workers in Prometheus' text format."""
    if MULTIPROCESS_VARIABLE not in os.environ:
        return generate_latest(REGISTRY)
    shared = CollectorRegistry()
    _AllWorkers(shared)  # type: ignore[no-untyped-call]
    return generate_latest(shared)


class _AllWorkers(MultiProcessCollector):
    """Values of all workers; skips the files of workers that are starting, which are empty at first."""

    def collect(self) -> Any:
        paths = [path for path in Path(self._path).glob("*.db") if _has_content(path)]
        return self.merge(map(str, paths), accumulate=True)  # type: ignore[no-untyped-call]


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a worker that was just removed
        return False


def configure_logs(level: str) -> None:
    """Log one JSON object per line to standard error: time, level, a constant event, its fields, the request's id.

    Warnings and errors of libraries are logged in the same form.
    """
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request_id,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=orjson.dumps)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    library_handler = logging.StreamHandler(sys.stderr)
    library_handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[library_handler], force=True)
    logging.captureWarnings(capture=True)


def _add_request_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
    current = request_id.get()
    if current is not None:
        event["request_id"] = current
    return event
