"""The inner loop of rating prediction is ridge regression around the start."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_store.studies.ratings.squared_loop import SquaredLoop


def support(seed: int, k: int = 12, dim: int = 3) -> tuple[torch.Tensor, ...]:
    """start, vectors, residuals, mask and share of new items of one user."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.rand(1, k, dim, generator=generator, dtype=torch.float64) - 0.5
    residuals = torch.randn(1, k, generator=generator, dtype=torch.float64)
    start = torch.randn(1, dim, generator=generator, dtype=torch.float64)
    mask = torch.ones(1, k, dtype=torch.float64)
    return start, vectors, residuals, mask, torch.zeros(1, 1, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_enough_steps_of_the_inner_loop_are_ridge_regression_around_the_start(seed):
    start, vectors, residuals, mask, new = support(seed)
    loop = SquaredLoop(3, 2000).double()
    with torch.no_grad():
        loop.log_pull.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    adapted = loop(start, vectors, residuals, mask, new)[0].detach().numpy()
    x, pull = vectors[0].numpy(), np.diag(np.exp([-1.0, 0.0, 1.0]))
    expected = np.linalg.solve(x.T @ x + pull, x.T @ residuals[0].numpy() + pull @ start[0].numpy())
    np.testing.assert_allclose(adapted, expected, atol=1e-9)


def test_the_outer_gradient_goes_through_all_steps():
    start, vectors, residuals, mask, new = support(0, k=4, dim=2)
    loop = SquaredLoop(2, 3).double()
    inputs = [tensor.requires_grad_() for tensor in (start, vectors, residuals)]
    assert torch.autograd.gradcheck(lambda *tensors: loop(*tensors, mask, new), inputs)


def test_a_user_without_ratings_stays_at_the_start_and_padding_is_ignored():
    start, vectors, residuals, mask, new = support(1)
    loop = SquaredLoop(3, 4).double()
    torch.testing.assert_close(loop(start, vectors, residuals, 0 * mask, new), start)
    half = mask.clone()
    half[:, 6:] = 0
    unpadded = loop(start, vectors[:, :6], residuals[:, :6], mask[:, :6], new)
    torch.testing.assert_close(loop(start, vectors, residuals, half, new), unpadded)
