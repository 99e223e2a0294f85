"""MAML, its first-order version and ANIL against oracles."""

from __future__ import annotations

import torch
from made_up_supports import DIM, one_user, perturbed, without_attributes
from torch import Tensor
from torch.autograd.functional import jacobian

from model_store.meta.algorithms.anil import MetaSgd
from model_store.meta.algorithms.fomaml import FirstOrderDescent
from model_store.meta.algorithms.maml import PlainDescent
from model_store.meta.inner import Adaptation, descend

LOSS_WEIGHTS = torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=torch.float64)


def from_start(module: Adaptation) -> Tensor:
    """Adapted weights (1, dim) of a user without attributes."""
    return module(without_attributes(one_user(4))).squeeze(1)


def gradient_of_start(module: Adaptation) -> Tensor:
    """Outer gradient of the loss ``LOSS_WEIGHTS`` · w_T² with respect to the start, (dim,)."""
    (gradient,) = torch.autograd.grad((LOSS_WEIGHTS * from_start(module).square()).sum(), module.start)
    return gradient


def finite_differences_of_start(module: Adaptation, by: float = 1e-6) -> Tensor:
    start, differences = module.start, []
    for direction in torch.eye(DIM, dtype=torch.float64):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                start.add_(sign * by * direction)
                ends.append((LOSS_WEIGHTS * from_start(module).square()).sum())
                start.sub_(sign * by * direction)
        differences.append((ends[0] - ends[1]) / (2 * by))
    return torch.stack(differences)


def test_a_step_of_maml_is_the_gradient_of_the_mean_likelihood_of_the_liked_events() -> None:
    module = perturbed(PlainDescent)
    module.steps = 1
    supports = without_attributes(one_user(4))
    supports.events.values[0, 2] = 1.0  # between two levels an event would count by half
    w = module.start.detach().clone().requires_grad_()
    liked = supports.events.vectors[0, [0, 3]]  # the events of value 5
    loss = torch.logsumexp(module.anchors.points @ w + module.anchors.bias.squeeze(1), 0) - (liked @ w).mean()
    (gradient,) = torch.autograd.grad(loss, w)
    torch.testing.assert_close(module(supports)[0, 0], w - 1.65 * gradient)


def test_maml_is_second_order_and_its_first_order_version_is_not() -> None:
    second, first = perturbed(PlainDescent), perturbed(FirstOrderDescent)
    adapted = from_start(second)
    torch.testing.assert_close(from_start(first), adapted)
    exact = finite_differences_of_start(second)
    torch.testing.assert_close(gradient_of_start(second), exact)
    at_the_adapted = (2 * LOSS_WEIGHTS * adapted).squeeze(0)
    torch.testing.assert_close(gradient_of_start(first), at_the_adapted)
    assert (exact - at_the_adapted).abs().max() > 0.1


CURVATURE = torch.tensor([[2.0, 0.3, 0.0, 0.0], [0.3, 1.0, 0.1, 0.0], [0.0, 0.1, 0.5, 0.0], [0.0, 0.0, 0.0, 3.0]])
STEP = torch.tensor(0.2)


def test_descent_on_a_quadratic_task_has_its_closed_form() -> None:
    """With L = ½ (w − t)ᵀ A (w − t): w_T − t = (I − αA)^T (w₀ − t), and d w_T / d w₀ = (I − αA)^T."""
    target, start = torch.randn(2, DIM, generator=torch.Generator().manual_seed(3))
    power = torch.linalg.matrix_power(torch.eye(DIM) - STEP * CURVATURE, 3)

    def descended(w: Tensor) -> Tensor:
        return descend(w, lambda at: CURVATURE @ (at - target), [STEP] * 3)

    torch.testing.assert_close(descended(start), target + power @ (start - target))
    torch.testing.assert_close(jacobian(descended, start), power)


def test_meta_sgd_has_a_step_size_per_coordinate() -> None:
    module, plain = perturbed(MetaSgd), perturbed(PlainDescent)
    module.steps = plain.steps = 1
    plain.load_state_dict({**module.state_dict(), "step_size": plain.step_size})
    moves = [from_start(descent) - descent.start for descent in (module, plain)]
    torch.testing.assert_close(moves[0] / moves[1], (module.step_size / 1.65).unsqueeze(0))
