"""Ratios of a sweep."""

from __future__ import annotations

import os

import pytest

from loadtests.kit.processes import RunningService
from loadtests.kit.wrk import Load
from loadtests.serving.sweep import Contestant, sweep, table

SERVICE = RunningService("http://127.0.0.1:1", os.getpid(), 0.0)


def contestant(name: str, *rates: float) -> Contestant:
    """A contestant with these rates in its turns on every route, and one failure per turn."""
    turns = iter([rate for rate in rates for _ in ("recommend", "feedback")])

    def drive(_route: str, seconds: int) -> Load:
        rate = next(turns)
        return Load(int(rate * seconds), seconds, rate, 1.0, 2.0, 3.0, 4.0, failures=1)

    return Contestant(name, drive, SERVICE)


def test_a_ratio_is_the_median_of_the_ratios_inside_each_round() -> None:
    """In the second round the machine slows down both alike; in the third only the second is disturbed."""
    result = sweep([contestant("16", 1000, 100, 1000), contestant("64", 900, 90, 10)], rounds=3, seconds=1)
    for route in ("recommend", "feedback"):
        assert result[route]["64"]["ratio_to_first"] == pytest.approx(0.9)
        assert result[route]["64"]["rates"] == [900, 90, 10]
        assert result[route]["64"]["failures"] == 3
    assert "| recommend | 64 | 90 | 0.90 |" in table({"over": "connections", "sweep": result})
