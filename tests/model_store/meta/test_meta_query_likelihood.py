"""The likelihood of a query is a power mean: its value, its limits, and how much each item pulls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from model_store.meta.outer import query_likelihood

# Two users and five items: the first likes three of them, one of which counts half; the second likes one.
COUNTED = torch.tensor([[1.0, 1, 0.5, 0, 0], [0, 0, 0, 2, 0]])
NOBODY = torch.zeros(1, 5)


@pytest.fixture
def likelihood() -> Tensor:
    scores = torch.randn(2, 5, generator=torch.Generator().manual_seed(0))
    return torch.log_softmax(2 * scores, dim=1).requires_grad_()


@pytest.mark.parametrize("focus", [0.25, 0.5, 1.0])
def test_it_is_the_log_of_the_power_mean_times_the_items(likelihood: Tensor, focus: float) -> None:
    p, c = likelihood.detach().exp().double().numpy(), COUNTED.double().numpy()
    n = c.sum(1)
    mean = np.array([np.average(row**focus, weights=counts) ** (1 / focus) for row, counts in zip(p, c, strict=True)])
    np.testing.assert_allclose(query_likelihood(likelihood, COUNTED, focus).detach(), n * np.log(mean), rtol=1e-5)


def test_without_focus_it_is_the_sum_of_log_likelihoods_and_small_focus_comes_near(likelihood: Tensor) -> None:
    found = query_likelihood(likelihood, COUNTED, 0.0)
    torch.testing.assert_close(found, (likelihood * COUNTED).sum(1))
    torch.testing.assert_close(query_likelihood(likelihood, COUNTED, 1e-3), found, atol=0.01, rtol=0)


@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0])
def test_items_pull_by_their_probability_to_the_power_of_the_focus(likelihood: Tensor, focus: float) -> None:
    query_likelihood(likelihood, COUNTED, focus).sum().backward()
    pull = COUNTED * (focus * likelihood.detach()).exp()
    expected = pull / pull.sum(1, keepdim=True) * COUNTED.sum(1, keepdim=True)
    torch.testing.assert_close(likelihood.grad, expected)


@pytest.mark.parametrize("focus", [0.0, 0.5])
def test_a_user_without_a_query_says_nothing(likelihood: Tensor, focus: float) -> None:
    nothing = query_likelihood(likelihood[:1], NOBODY, focus).sum()
    nothing.backward()
    assert nothing == 0
    assert (likelihood.grad == 0).all()
