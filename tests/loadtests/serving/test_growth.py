"""Exponents of growth are slopes of the logarithms."""

from __future__ import annotations

from loadtests.serving.growth import exponents


def test_exponents_are_those_of_the_power_laws_behind_the_rows() -> None:
    rows = [{"items": n, "flat": 7.0, "linear": 3e-4 * n, "root": n**0.5} for n in (1e4, 1e5, 1e6)]
    assert exponents(rows, "items") == {"flat": 0, "linear": 1, "root": 0.5}


def test_a_single_size_has_no_exponent() -> None:
    assert exponents([{"items": 10, "ms": 1.0}], "items") == {}
