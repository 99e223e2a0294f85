"""The ordinal readout is a distribution over the levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_store.studies.ratings.readout import OrdinalReadout


def readout() -> OrdinalReadout:
    return OrdinalReadout(np.array([1, 2, 4, 5], dtype=np.float32), np.array([10, 30, 40, 20]))


def shares_of(head: OrdinalReadout, z: float) -> np.ndarray:
    """P(level | z) of all levels."""
    return (-head.loss(torch.full((4,), z), head.levels)).exp().detach().double().numpy()


@pytest.mark.parametrize("z", [-6.0, -0.7, 0.0, 0.4, 5.0])
def test_the_levels_are_a_distribution_and_the_median_costs_least(z):
    head = readout()
    shares, levels = shares_of(head, z), head.levels.numpy()
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    costs = [shares @ np.abs(levels - guess) for guess in levels]
    assert head.median(torch.tensor([z])).item() == levels[np.argmin(costs)]


def test_an_average_score_starts_with_the_shares_in_training():
    expected = np.array([11, 31, 41, 21]) / 104
    np.testing.assert_allclose(shares_of(readout(), 0.0), expected, atol=2e-3)


def test_a_rating_far_from_its_score_still_has_a_gradient():
    z = torch.tensor([60.0], requires_grad=True)
    readout().loss(z, torch.tensor([1.0])).sum().backward()
    assert z.grad is not None
    assert z.grad.item() == pytest.approx(2.0, rel=1e-3)  # the scale: log-likelihood falls linearly
