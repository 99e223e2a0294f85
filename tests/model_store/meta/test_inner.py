"""The inner loop: its steps, its gradients and its invariances."""

from __future__ import annotations

import pytest
import torch
from made_up_supports import one_user, padded, perturbed, user_start

from model_store.meta.inner import InnerLoop, Levels
from model_store.meta.supports import SupportBatch


def test_one_inner_step_is_the_gradient_of_the_inner_loss() -> None:
    """The step written out by hand against autograd of the loss that the module's docstring states."""
    loop, supports = perturbed(InnerLoop), one_user(3)
    weights = loop._event_weights(supports.events, supports.mask).squeeze(-2)
    start = user_start(loop)
    w = start.detach().clone().requires_grad_()
    total = weights.abs().sum()
    partition = torch.logsumexp(loop.anchors.points @ w + loop.anchors.bias.squeeze(1), 0)
    pull = (loop.log_pull.exp() * (w - start).square()).sum() / 2
    loss = -(weights[0] * (supports.events.vectors[0] @ w)).sum() + total * (partition + pull)
    (gradient,) = torch.autograd.grad(loss, w)
    step = torch.exp(loop.log_step[0] + loop.log_step_by_k[0] * torch.log1p(supports.mask.sum()))
    expected = w - step * gradient / (1 + total)

    with torch.no_grad():
        loop.log_step[1:] = -torch.inf  # only the first step moves
    torch.testing.assert_close(loop(supports)[0, 0], expected)


def test_the_outer_gradient_through_the_unrolled_loop_matches_finite_differences() -> None:
    loop, supports = perturbed(InnerLoop), padded(one_user(3), before=1)
    names = [name for name, _ in loop.named_parameters()]

    def weights(*parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loop, dict(zip(names, parameters, strict=True)), (supports,))

    parameters = tuple(parameter.detach().clone().requires_grad_() for parameter in loop.parameters())
    assert torch.autograd.gradcheck(weights, parameters)


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2), (1, 3)])
def test_padding_changes_nothing(before: int, after: int) -> None:
    loop, supports = perturbed(InnerLoop), one_user(3)
    torch.testing.assert_close(loop(supports), loop(padded(supports, before, after)))


def test_an_attribute_of_weight_0_changes_nothing() -> None:
    loop, supports = perturbed(InnerLoop), one_user(3)
    ids, weights = (torch.nn.functional.pad(column, (1, 0), value=0) for column in supports[2:])
    torch.testing.assert_close(loop(supports), loop(SupportBatch(*supports[:2], ids, weights)))


def test_without_events_the_start_of_the_user_stays() -> None:
    loop = perturbed(InnerLoop)
    torch.testing.assert_close(loop(one_user(0))[0, 0], user_start(loop))


def test_a_function_over_the_scale_is_linear_between_its_knots_and_level_beyond() -> None:
    levels = Levels(torch.tensor([1.0, 3.0, 5.0]))
    values = levels(torch.tensor([[0.0, 1.0, 2.0, 4.5, 5.0, 9.0]]), torch.tensor([-1.0, 1.0, 5.0]))
    torch.testing.assert_close(values, torch.tensor([[-1.0, -1.0, 0.0, 4.0, 5.0, 5.0]]))
