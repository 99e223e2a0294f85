"""Swaps under load are measured, and no request fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from root import ROOT


@pytest.fixture(scope="module")
def result(trained_store: Path, tmp_path_factory: pytest.TempPathFactory):
    keep = tmp_path_factory.mktemp("keep")
    shutil.copytree(trained_store, keep / "items-240")  # reused as the synthetic bundle
    options = ["--items", "240", "--keep", str(keep), "--swaps", "2", "--seconds", "0.3"]
    command = [sys.executable, "-m", "loadtests", "swap", *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_no_request_fails_while_bundles_are_swapped(result) -> None:
    assert result["failures"] == 0
    assert len(result["swaps"]) == 2
    for figures in (result["quiet"], *result["swaps"]):
        assert figures["requests"] > 0
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]


def test_loading_is_timed_by_parts(result) -> None:
    assert set(result["loading"]) == {"whole", "hashes", "catalogue", "graphs", "golden cases"}


def test_ratio_is_that_of_the_worst_swap(result) -> None:
    worst = max(swap["p99_ms"] for swap in result["swaps"])
    assert result["p99_over_quiet"] == pytest.approx(worst / result["quiet"]["p99_ms"], abs=0.01)
