"""The reliability page has the counts and the verdict of every chaos test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from root import ROOT

CHAOS = """
import pytest

@pytest.fixture
def record_counts(request):
    return lambda **counts: request.node.user_properties.extend(counts.items())

def test_stored_events_stay(record_counts):
    record_counts(written=7, lost_events=0)

def test_lost_events_fail(record_counts):
    record_counts(written=7, lost_events=1)
    assert False

@pytest.mark.skip(reason="no server")
def test_an_absent_server_is_skipped(): ...
"""


def test_the_page_has_a_row_per_test(tmp_path: Path) -> None:
    tests = tmp_path / "tests" / "chaos"
    tests.mkdir(parents=True)
    (tests / "test_bad_input.py").write_text(CHAOS)
    pytest_run = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "--junitxml", "chaos.xml", "tests"]
    subprocess.run([*pytest_run, "-p", "no:cacheprovider"], cwd=tmp_path, check=False, capture_output=True)
    page = tmp_path / "reliability.md"
    command = [sys.executable, "tests/chaos/report.py", str(tmp_path / "chaos.xml"), "--page", str(page)]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    text = page.read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if "::test_" in line]
    assert [(row[0], *row[2:]) for row in rows] == [
        ("| stored events stay", "written 7, lost events 0", "kept |"),
        ("| lost events fail", "written 7, lost events 1", "broken |"),
        ("| an absent server is skipped", "one case", "skipped |"),
    ]
    assert rows[0][1] == "`tests/chaos/test_bad_input.py::test_stored_events_stay`"
    assert "1 of 3 promises kept" in text
