"""What is said about reliability is what was measured: trends, the soak, and the page made of the chaos tests."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from root import ROOT

from loadtests.kit.trend import trend

AT = np.arange(100) / 10
NOISE = np.random.default_rng(0).normal(0, 1, 100)


def test_growth_is_found_in_noise():
    found = trend(AT.tolist(), (50 + 0.5 * AT + NOISE).tolist())
    assert found.growth == pytest.approx(0.5 * 9.9, abs=1)
    assert found.exceeds(2)
    assert not found.exceeds(10)


def test_noise_and_single_outliers_are_no_growth():
    values = 50 + NOISE
    values[-3:] += 1000
    assert not trend(AT.tolist(), values.tolist()).exceeds(0)


def test_a_series_that_shrinks_does_not_grow():
    assert not trend(AT.tolist(), (50 - AT).tolist()).exceeds(0)


def test_a_soak_runs_and_tells_what_it_was_made_on(trained_store, tmp_path):
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    kept = tmp_path / "soak.json"
    command = [
        sys.executable,
        "-m",
        "loadtests.serving.soak",
        "--smoke",
        "--bundles",
        str(trained_store),
        "--json",
        str(kept),
    ]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    result = json.loads(kept.read_text())
    assert set(result["machine"]) >= {"processor", "cores"}
    assert result["failures"] == 0, finished.stderr
    assert 0 < result["rate"] < result["highest_rate"]
    assert len(result["samples"]) >= 3
    assert result["verdict"] in finished.stdout


CHAOS = """
import pytest

@pytest.fixture
def tell(request):
    return lambda **counts: request.node.user_properties.extend(counts.items())

def test_what_is_kept_stays(tell):
    tell(written=7, lost_events=0)

def test_what_is_lost(tell):
    tell(written=7, lost_events=1)
    assert False

@pytest.mark.skip(reason="no server")
def test_what_cannot_be_tried(): ...
"""


def test_the_page_has_the_counts_and_the_verdict_of_every_test(tmp_path):
    (tmp_path / "tests" / "chaos").mkdir(parents=True)
    (tmp_path / "tests" / "chaos" / "test_bad_input.py").write_text(CHAOS)
    pytest_run = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "--junitxml", "chaos.xml", "tests"]
    subprocess.run([*pytest_run, "-p", "no:cacheprovider"], cwd=tmp_path, check=False, capture_output=True)
    script = "import sys, pathlib; from tests.chaos import report; "
    script += "print(report.page(report.read(pathlib.Path(sys.argv[1]))))"
    made = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "chaos.xml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split(" | ") for line in made.stdout.splitlines() if "test_what" in line]
    assert [(row[0], *row[2:]) for row in rows] == [
        ("| what is kept stays", "written 7, lost events 0", "kept |"),
        ("| what is lost", "written 7, lost events 1", "broken |"),
        ("| what cannot be tried", "one case", "skipped |"),
    ]
    assert rows[0][1] == "`tests/chaos/test_bad_input.py::test_what_is_kept_stays`"
    assert "1 of 3 promises kept" in made.stdout
