"""The measurement of the edge still runs, and its requests are let through."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from root import ROOT


def test_every_part_of_the_edge_is_measured():
    command = [sys.executable, "-m", "loadtests.micro.middleware", "--smoke"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    figures = json.loads(finished.stdout)["requests_us"]
    assert len(figures) == 6
    assert all(value > 0 for each in figures.values() for value in each.values())
