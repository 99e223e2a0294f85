"""Metrics count correctly over all workers, clients cannot add series, and every line of the log is JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest
from running_service import Running, wait_until

from service.web.docs import PATHS

Counted = Callable[..., float]


@pytest.fixture
def counted(service: Running) -> Counted:
    """How much a series has grown since the test began."""
    before = service.metrics()
    return lambda name, *labels: service.metrics().get((name, labels), 0) - before.get((name, labels), 0)


def test_hits_are_positive_events_whose_item_was_in_the_last_list(
    service: Running, user: str, counted: Counted
) -> None:
    first, second, *_ = listed = service.items(user, k=5)
    elsewhere = next(f"g0-{n}" for n in range(30) if f"g0-{n}" not in listed)
    service.give(
        user,
        {"item_id": first, "value": 5},  # a hit
        {"item_id": elsewhere, "value": 4},  # positive, not in the list
        {"item_id": second, "value": 1},  # in the list, not positive
    )
    assert (counted("kshot_hit_rate_hits_total"), counted("kshot_hit_rate_events_total")) == (1, 2)


def test_only_the_last_list_makes_a_hit(service: Running, user: str, counted: Counted) -> None:
    earlier = service.items(user, k=5)[-1]
    service.items(user, k=1)
    service.like(user, earlier)
    assert (counted("kshot_hit_rate_hits_total"), counted("kshot_hit_rate_events_total")) == (0, 1)


def test_a_duplicate_is_counted_as_such_and_makes_no_second_hit(service: Running, user: str, counted: Counted) -> None:
    event = {"item_id": service.items(user, k=5)[0], "value": 5, "event_id": "once"}
    service.give(user, event)
    service.give(user, event)
    assert counted("kshot_hit_rate_hits_total") == counted("kshot_feedback_duplicates_total") == 1


def test_feedback_is_counted_by_type(service: Running, user: str, counted: Counted) -> None:
    service.give(
        user,
        {"item_id": "g1-1", "value": 5},
        {"item_id": "g1-2", "type": "like"},
        {"item_id": "g1-3", "type": "like"},
        {"item_id": "nothing", "type": "like"},
    )
    assert counted("kshot_feedback_events_total", "value") == 1
    assert counted("kshot_feedback_events_total", "like") == 2
    assert counted("kshot_feedback_unknown_items_total") == 1


def test_lists_are_counted_by_source(service: Running, user: str, counted: Counted) -> None:
    service.items(user)
    service.like(user, "g1-1")
    service.items(user)
    service.items(user)
    assert counted("kshot_recommendations_total", "cold") == 1
    assert counted("kshot_recommendations_total", "adapted") == 2


def test_store_hits_are_reads_with_a_current_state(service: Running, user: str, counted: Counted) -> None:
    service.items(user)
    service.like(user, "g1-1")
    service.items(user)
    assert (counted("kshot_store_misses_total"), counted("kshot_store_hits_total")) == (1, 1)


def test_an_adaptation_is_timed_per_feedback_with_new_events(service: Running, user: str, counted: Counted) -> None:
    service.like(user, "g1-1")
    assert counted("kshot_adapt_seconds_count") == 1
    service.items(user)  # from the stored state
    assert counted("kshot_adapt_seconds_count") == 1
    assert counted("kshot_score_seconds_count") == 1


def test_the_bundle_shows_its_version_and_its_age(service: Running, user: str) -> None:
    metrics = service.metrics()
    assert metrics["kshot_bundle_info", (service.recommend(user)["bundle"],)] == 1
    age = metrics["kshot_bundle_age_seconds", ()]
    wait_until(lambda: service.metrics()["kshot_bundle_age_seconds", ()] > age)
    assert 0 < age < time.monotonic()


def test_latency_is_measured_by_route_with_buckets_around_a_millisecond(service: Running, user: str) -> None:
    service.items(user)
    buckets = [labels for name, labels in service.metrics() if name == "kshot_request_seconds_bucket"]
    bounds = {label for labels in buckets if "/recommend" in labels for label in labels}
    assert {"0.0005", "0.001", "0.002"} <= bounds


def test_paths_and_methods_of_clients_never_become_labels(service: Running, counted: Counted) -> None:
    for path in ("/wp-login.php", "/recommend/ann", "/feedback2"):
        service.client.get(path)
    for method in ("PROPFIND", "DELETE", "PUT"):
        service.client.request(method, "/recommend")
    wait_until(lambda: counted("kshot_request_seconds_count", "none", "none", "405") == 3)
    assert counted("kshot_request_seconds_count", "none", "none", "404") == 3
    labels = {labels[:2] for name, labels in service.metrics() if name == "kshot_request_seconds_count"}
    paths = service.client.get("/openapi.json").json()["paths"]
    documented = {(method.upper(), path) for path, operations in paths.items() for method in operations}
    assert labels <= documented | {("GET", page) for page in PATHS} | {("none", "none")}


def test_there_are_no_series_of_creation_times(service: Running) -> None:
    assert not [name for name, _ in service.metrics() if name.endswith("_created")]


def test_every_worker_reports_the_sum_over_all_workers(workers: Running, user: str) -> None:
    before = workers.metrics().get(("kshot_recommendations_total", ("cold",)), 0)
    for number in range(24):
        httpx.get(workers.client.base_url.join("/recommend"), params={"user_id": f"{user}-{number}"})
    for _ in range(6):
        text = httpx.get(workers.client.base_url.join("/metrics")).text
        assert f'kshot_recommendations_total{{source="cold"}} {before + 24}' in text


def test_all_workers_are_counted_under_their_bundle(workers: Running, user: str) -> None:
    version = workers.recommend(user)["bundle"]
    wait_until(lambda: workers.metrics()["kshot_bundle_info", (version,)] == 2)


def test_every_line_of_the_log_is_json_with_event_level_and_time(service: Running) -> None:
    assert service.has_logged("ready")
    for line in service.logged():
        assert {"event", "level", "timestamp"} <= set(line)


def test_logs_and_warnings_of_libraries_are_lines_of_json_too() -> None:
    program = """
import logging, warnings
from service.telemetry import configure_logs
configure_logs("info")
logging.getLogger("some.library").warning("two\\nlines")
warnings.warn("old")
"""
    lines = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=True).stderr
    logged, warned = map(json.loads, lines.splitlines())
    assert (logged["event"], logged["level"], logged["logger"]) == ("two\nlines", "warning", "some.library")
    assert warned["logger"] == "py.warnings"
    assert "timestamp" in logged.keys() & warned.keys()
