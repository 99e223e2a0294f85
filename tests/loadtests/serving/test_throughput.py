"""The throughput test runs against a real service, and its result names machine, commit and command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from root import ROOT


@pytest.fixture(scope="module")
def result():
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    command = [sys.executable, "-m", "loadtests", "throughput", "--smoke"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_result_names_machine_commit_command_and_bundle(result):
    assert set(result["machine"]) >= {"processor", "cores", "memory_gib", "python", "onnxruntime"}
    assert result["commit"]
    assert result["command"] == "python -m loadtests throughput --smoke"
    assert result["bundle"]["items"] == 2_000


def test_every_route_responds_under_load_without_a_failure(result):
    for route in ("bare", "recommend", "feedback"):
        row = result["summary"][route]
        assert row["failures"] == 0, route
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"], route
        assert row["rate"] > 0, route


def test_ratio_is_computed_inside_the_round(result):
    (turns,) = result["rounds"]
    for route, row in result["summary"].items():
        assert row["ratio_to_bare"] == pytest.approx(turns[route]["rate"] / turns["bare"]["rate"], abs=2e-3)


def test_rounds_state_the_events_per_user(result):
    (events,) = result["events_per_user"]
    assert events > 1  # of a hundred users, after a second of feedback


def test_lists_under_load_are_those_of_adapted_users(result):
    lists = result["lists_by_source"]
    assert lists["adapted"] > 0.9 * sum(lists.values()) > 0
    assert lists.get("degraded", 0) == 0


def test_start_and_memory_are_measured(result):
    assert 0 < result["service"]["start_s"] < 60
    memory = result["service"]["memory_started_mib"]
    assert 10 < memory["allocated"] <= memory["resident"] < 1_000
