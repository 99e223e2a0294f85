"""Swaps under load are measured, and no request fails; a second version of a bundle is another bundle."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from root import ROOT

from loadtests.kit.clients import Answer, Answers, failures, percentile_ms
from loadtests.worlds.stores import second_version
from model_store.bundle import Registry, open_bundle


@pytest.fixture(scope="module")
def result(trained_store: Path, tmp_path_factory: pytest.TempPathFactory):
    keep = tmp_path_factory.mktemp("keep")
    shutil.copytree(trained_store, keep / "items-240")  # found there, so that none is made
    command = [
        sys.executable,
        "-m",
        "loadtests.serving.swap",
        "--items",
        "240",
        "--keep",
        keep,
        "--swaps",
        "2",
        "--seconds",
        "0.3",
    ]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_no_request_fails_while_bundles_are_swapped(result) -> None:
    assert result["failures"] == 0
    assert len(result["swaps"]) == 2
    for figures in (result["quiet"], *result["swaps"]):
        assert figures["requests"] > 0
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] <= figures["max_ms"]


def test_loading_is_told_by_its_parts(result) -> None:
    assert set(result["loading"]) == {"whole", "hashes", "catalogue", "graphs", "golden cases"}


def test_ratio_is_that_of_the_worst_swap(result) -> None:
    worst = max(swap["p99_ms"] for swap in result["swaps"])
    assert result["p99_over_quiet"] == pytest.approx(worst / result["quiet"]["p99_ms"], abs=0.01)


def test_a_request_counts_for_the_time_that_it_was_under_way() -> None:
    early, across, late, failed = (
        Answer(0, 500, 200, b""),
        Answer(0.9, 400, 200, b""),
        Answer(3, 1, 200, b""),
        Answer(1.5, 90, 0, b""),
    )
    answers = Answers([early, across, late, failed])
    assert answers.between(1.0, 2.0) == [across, failed]
    assert failures(answers.between(1.0, 2.0)) == 1
    assert percentile_ms([across, failed], 100) == 400


def test_a_second_version_is_a_whole_bundle_of_its_own(trained_store: Path, tmp_path: Path) -> None:
    store = Path(shutil.copytree(trained_store, tmp_path / "store"))
    registry = Registry(store)
    version = second_version(store)
    assert version != registry.live()
    assert open_bundle(registry.folder(version)).version == version
