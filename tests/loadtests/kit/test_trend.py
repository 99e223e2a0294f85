"""Trends find growth in noise, and nothing in noise alone."""

from __future__ import annotations

import numpy as np
import pytest

from loadtests.kit.trend import trend

TIMES = np.arange(100) / 10
NOISE = np.random.default_rng(0).normal(0, 1, 100)


def test_growth_is_detected_in_noise():
    fitted = trend(TIMES.tolist(), (50 + 0.5 * TIMES + NOISE).tolist())
    assert fitted.growth == pytest.approx(0.5 * 9.9, abs=1)
    assert fitted.exceeds(2)
    assert not fitted.exceeds(10)


def test_noise_and_single_outliers_are_no_growth():
    values = 50 + NOISE
    values[-3:] += 1000
    assert not trend(TIMES.tolist(), values.tolist()).exceeds(0)


def test_a_falling_series_does_not_grow():
    assert not trend(TIMES.tolist(), (50 - TIMES).tolist()).exceeds(0)
