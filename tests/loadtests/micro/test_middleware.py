"""The measurement of the middleware runs, and its requests are accepted."""

from __future__ import annotations

import json
import subprocess
import sys

from root import ROOT


def test_every_layer_of_the_middleware_is_measured():
    command = [sys.executable, "-m", "loadtests", "middleware", "--smoke"]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    figures = json.loads(finished.stdout)["requests_us"]
    assert len(figures) == 6
    assert all(value > 0 for row in figures.values() for value in row.values())
