"""Every algorithm against an oracle, and every algorithm from training to a served list."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import made_up
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from model_store.bundle import Registry, open_bundle
from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.episodes import Support
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.export import write_draft
from model_store.meta.algorithms import ALGORITHMS, begin, joint
from model_store.meta.algorithms.anil import MetaSgd
from model_store.meta.algorithms.fomaml import FirstOrderDescent
from model_store.meta.algorithms.joint import JointLoop, factorisation_loss
from model_store.meta.algorithms.maml import PlainDescent
from model_store.meta.algorithms.matching import Matching
from model_store.meta.algorithms.reptile import ReptileDescent, adapted_weights, moved, whole_profiles
from model_store.meta.inner import Adaptation, Levels, Share, descend
from model_store.meta.network import AdaptationType, Network
from model_store.meta.outer import Batch, Outer, Progress, meta_train
from service.core import support as served_support
from service.ranking.biases import exclusion
from service.scoring.model import Model

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_epochs=2, batch_users=64, max_support=60)
DIM = 4
# Of one user: the ids of its attributes and their weights.
ATTRIBUTES = torch.tensor([[0]]), torch.tensor([[0.7]], dtype=torch.float64)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def adaptation(made_by: AdaptationType, seed: int = 0) -> Adaptation:
    """In float64 with nothing at a neutral value."""
    torch.manual_seed(seed)
    levels, liked = Levels(torch.tensor([1.0, 3.0, 5.0])), torch.tensor([-0.5, 0.2, 1.0])
    module = made_by(DIM, 3, torch.randn(6, DIM), levels, liked, Share(SHOTS), 1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.double()


def support(shots: int, width: int, seed: int = 1) -> tuple[Tensor, ...]:
    """Vectors, values, ages and mask of one user."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(1, width, DIM + 1, generator=generator, dtype=torch.float64)
    values = torch.tensor([[5.0, 1.0, 3.0, 5.0, 5.0]], dtype=torch.float64)[:, :width]
    ages = torch.rand(1, width, generator=generator, dtype=torch.float64) * 30
    mask = torch.zeros(1, width, dtype=torch.float64)
    mask[:, width - shots :] = 1
    return vectors, values, ages, mask


def from_start(module: Adaptation) -> Tensor:
    """Adapted weights (1, dim) of a user of whom no attributes are known."""
    return module.adapt(*support(4, 5), module.start.expand(1, 1, -1)).squeeze(1)


def gradient_of_start(module: Adaptation, loss_of: Tensor) -> Tensor:
    """Outer gradient of the loss ``loss_of`` · w_T² with respect to the start, (dim,)."""
    (found,) = torch.autograd.grad((loss_of * from_start(module).square()).sum(), module.start)
    return found


def finite_differences_of_start(module: Adaptation, loss_of: Tensor, by: float = 1e-6) -> Tensor:
    start, found = module.start, []
    for each in torch.eye(DIM, dtype=torch.float64):
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                start.add_(sign * by * each)
                ends.append((loss_of * from_start(module).square()).sum())
                start.sub_(sign * by * each)
        found.append((ends[0] - ends[1]) / (2 * by))
    return torch.stack(found)


LOSS_OF = torch.tensor([[1.0, -2.0, 0.5, 3.0]], dtype=torch.float64)


def test_there_is_an_algorithm_of_every_name() -> None:
    assert set(ALGORITHMS) == set(AlgorithmName)


@pytest.mark.parametrize("name", AlgorithmName)
def test_padding_changes_nothing_and_no_events_leave_the_start(name: AlgorithmName) -> None:
    module = adaptation(ALGORITHMS[name].adaptation)
    alone = support(3, 3)
    padded = [torch.cat([torch.full_like(each[:, :1], 7.0), each], dim=1) for each in alone]
    padded[3][:, 0] = 0
    torch.testing.assert_close(module(*alone, *ATTRIBUTES), module(*padded, *ATTRIBUTES))
    own_start = module.start + 0.7 * module.attribute_vectors()[0]
    torch.testing.assert_close(module(*support(0, 1), *ATTRIBUTES)[0, :-1], own_start)


@pytest.mark.parametrize("name", AlgorithmName)
def test_a_user_alone_adapts_as_in_a_batch(name: AlgorithmName) -> None:
    """Batches train, and a user alone is what is exported."""
    module = adaptation(ALGORITHMS[name].adaptation)
    one, other = (*support(4, 5), *ATTRIBUTES), (*support(2, 5, seed=2), ATTRIBUTES[0], -2 * ATTRIBUTES[1])
    together = module(*(torch.cat(both) for both in zip(one, other, strict=True)))
    alone = [module(*(each.squeeze(0) for each in user)) for user in (one, other)]
    torch.testing.assert_close(torch.stack(alone), together)
    assert (alone[0] - alone[1]).abs().max() > 0.01


@pytest.mark.parametrize("made_by", [PlainDescent, MetaSgd, Matching])
def test_every_outer_gradient_matches_finite_differences(made_by: AdaptationType) -> None:
    module, inputs = adaptation(made_by), (*support(4, 5), *ATTRIBUTES)
    names = [name for name, _ in module.named_parameters()]

    def state(*parameters: Tensor) -> Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), inputs)

    parameters = tuple(parameter.detach().clone().requires_grad_() for parameter in module.parameters())
    assert torch.autograd.gradcheck(state, parameters)


def test_a_step_of_maml_is_the_gradient_of_the_mean_likelihood_of_what_was_liked() -> None:
    module = cast("PlainDescent", adaptation(PlainDescent))
    module.steps = 1
    vectors, values, ages, mask = support(4, 5)
    w = module.start.detach().clone().requires_grad_()
    liked = vectors[0, [3, 4], :-1]  # of the last four events, those of value 5; 1 and 3 are not liked
    loss = torch.logsumexp(module.anchors @ w + module.anchor_bias.squeeze(1), 0) - (liked @ w).mean()
    (gradient,) = torch.autograd.grad(loss, w)
    expected = w - 1.65 * gradient
    values[0, 2] = 1.0  # between two levels an event would count by half
    start = module.start.expand(1, 1, -1)
    torch.testing.assert_close(module.adapt(vectors, values, ages, mask, start)[0, 0], expected)


def test_maml_is_second_order_and_its_first_order_version_is_not() -> None:
    second, first = adaptation(PlainDescent), adaptation(FirstOrderDescent)
    adapted = from_start(second)
    torch.testing.assert_close(from_start(first), adapted)
    exact = finite_differences_of_start(second, LOSS_OF)
    torch.testing.assert_close(gradient_of_start(second, LOSS_OF), exact)
    at_the_adapted = (2 * LOSS_OF * adapted).squeeze(0)
    torch.testing.assert_close(gradient_of_start(first, LOSS_OF), at_the_adapted)
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


def test_reptile_moves_along_the_closed_form_on_quadratic_tasks() -> None:
    """The mean over tasks of w_T − w₀ is −(I − (I − αA)^T)(w₀ − mean t)."""
    drawn = torch.randn(6, DIM, generator=torch.Generator().manual_seed(4))
    start, targets = drawn[0], drawn[1:]
    adapted = descend(start.expand(5, -1), lambda w: (w - targets) @ CURVATURE, [STEP] * 3)
    power = torch.linalg.matrix_power(torch.eye(DIM) - STEP * CURVATURE, 3)
    expected = -0.1 * (torch.eye(DIM) - power) @ (start - targets.mean(0))
    torch.testing.assert_close(moved(start, adapted, 0.1) - start, expected)


def test_the_start_of_reptile_moves_towards_the_adapted_weights_and_by_nothing_else(dataset: Dataset) -> None:
    outer = begun(dataset, AlgorithmName.REPTILE)
    inner = cast("ReptileDescent", outer.network.inner)
    batch = whole_batch(dataset)
    outer.algorithm.step(outer, batch, CONFIG)
    found = inner.start.clone()
    with torch.no_grad():
        inner.start.zero_()  # where it began
    towards = adapted_weights(outer.network, whole_profiles(batch, CONFIG.max_support)).mean(0)
    torch.testing.assert_close(found, 0.1 * towards)
    assert towards.abs().max() > 0.01


def test_each_coordinate_has_its_own_step_in_meta_sgd() -> None:
    module, plain = cast("MetaSgd", adaptation(MetaSgd)), cast("PlainDescent", adaptation(PlainDescent))
    module.steps = plain.steps = 1
    plain.load_state_dict({**module.state_dict(), "step_size": plain.step_size})
    moves = [from_start(each) - each.start for each in (module, plain)]
    torch.testing.assert_close(moves[0] / moves[1], (module.step_size / 1.65).unsqueeze(0))


def test_matching_is_softmax_attention() -> None:
    module = cast("Matching", adaptation(Matching))
    vectors, values, ages, mask = (each[0].numpy() for each in support(4, 5))
    p = {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}
    kept = mask > 0
    x, knots = vectors[kept, :-1], np.array([1.0, 3.0, 5.0])
    logits = (x @ p["query"])[:, 0] / 2 + np.interp(values[kept], knots, p["attention_by_value"])
    logits -= np.log1p(np.exp(p["decay"] - 4)) * np.log1p(ages[kept])
    attention = np.exp(logits) / np.exp(logits).sum()
    labels = np.interp(values[kept], knots, p["label"])
    scale = np.exp(p["log_scale"][0] + p["log_scale"][1] * np.log(5))
    expected = p["start"] + scale * sum(
        a * y * p["embedding"] @ each for a, y, each in zip(attention, labels, x, strict=True)
    )
    np.testing.assert_allclose(from_start(module)[0].detach().numpy(), expected)


def test_the_control_goes_down_the_gradient_of_ordinary_matrix_factorisation() -> None:
    rng = np.random.default_rng(0)
    w, vectors, offsets = rng.standard_normal((2, DIM)), rng.standard_normal((7, DIM)), rng.standard_normal((2, 7))
    target = np.array([[1, 0, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0]], dtype=np.float64)
    towards, pull = rng.standard_normal(DIM), rng.random(DIM)
    scores = w @ vectors.T + offsets
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    n = target.sum(1, keepdims=True)
    residual = n * softmax - target
    leaves = [torch.from_numpy(each).requires_grad_() for each in (w, vectors)]
    loss = factorisation_loss(
        *leaves, *map(torch.from_numpy, (offsets, target)), (torch.from_numpy(towards), torch.from_numpy(pull))
    )
    of_w, of_vectors = torch.autograd.grad(loss, leaves)
    np.testing.assert_allclose(of_w.numpy(), residual @ vectors + n * pull * (w - towards))
    np.testing.assert_allclose(of_vectors.numpy(), residual.T @ w)


def begun(dataset: Dataset, name: AlgorithmName) -> Outer:
    return begin(dataset, dataset.events, CONFIG.model_copy(update={"algorithm": name}), SHOTS)


def whole_batch(dataset: Dataset) -> Batch:
    return Batch(dataset.events, np.arange(60), dataset.feedback.liked_at_least)


def test_the_control_serves_from_the_mean_of_its_users_and_forgets_them(dataset: Dataset) -> None:
    outer = begun(dataset, AlgorithmName.JOINT)
    inner = cast("JointLoop", outer.network.inner)
    outer.algorithm.step(outer, whole_batch(dataset), CONFIG)
    assert inner.users is not None
    learned = inner.users.detach().clone()
    assert learned[:60].abs().sum(1).min() > 0
    assert learned[60:].abs().max() == 0
    torch.testing.assert_close(inner.start, learned.mean(0))
    # A validation that likes the second largest step best.
    best = joint.LOG_STEPS[2]
    joint.settle(outer.network, lambda network: -abs(float(cast("JointLoop", network.inner).log_step[0, 0]) - best))
    assert inner.users is None
    assert inner.log_step.unique().tolist() == [best]


def meta_trained(dataset: Dataset, name: AlgorithmName) -> Network:
    outer = begun(dataset, name)
    progress = Progress()
    meta_train(outer, dataset, dataset.events, lambda _: float(progress.epoch), CONFIG, progress=progress)
    return outer.network


@pytest.mark.parametrize("name", AlgorithmName)
def test_every_algorithm_trains_exports_and_is_served(dataset: Dataset, name: AlgorithmName, tmp_path: Path) -> None:
    config, registry = CONFIG.model_copy(update={"algorithm": name}), Registry(tmp_path)
    network = meta_trained(dataset, name)
    with write_draft(registry, dataset, network, config) as draft:
        draft.publish(registry, results={})
    bundle = open_bundle(registry.live_folder())  # recomputes the golden cases
    assert bundle.manifest.training["algorithm"] == name
    constants = onnx.load(registry.live_folder() / "adapt.onnx").graph.initializer
    assert all(dataset.events.n_users not in constant.dims for constant in constants)  # nothing of a training user
    model = Model(bundle)
    liked = model.catalogue.ids.index("g3-1"), model.catalogue.ids.index("g3-2")
    two = served_support.Support(np.array(liked), *(np.full(2, each, np.float32) for each in (5, 0, 1)))
    state = asyncio.run(model.adapt(two, {}))
    expected = in_torch(network, liked)
    ranked, scores = asyncio.run(model.rank(state, two, exclusion(np.array(liked)), 10))
    np.testing.assert_allclose(scores, expected[ranked], rtol=1e-3, atol=1e-3)
    assert {made_up.group_of(model.catalogue.ids[row]) for row in ranked} == {3}
    # The adapted weights know the group without the memory, too.
    alone = np.argsort(-(model.catalogue.vectors[:, :-1] @ state[:-1]))[:10]
    assert {made_up.group_of(model.catalogue.ids[row]) for row in alone} == {3}


@torch.no_grad()
def in_torch(network: Network, liked: tuple[int, ...]) -> np.ndarray:
    columns = (np.full((1, len(liked)), each, np.float32) for each in (5, 0, 1))
    nothing = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.float32)
    return network(Support(np.array([liked]), *columns, *nothing))[0].numpy()
