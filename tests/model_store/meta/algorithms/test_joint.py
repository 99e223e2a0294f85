"""The control without meta-learning: ordinary matrix factorisation, and no trace of its users afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from model_store.config import AlgorithmName, TrainingConfig
from model_store.data.sources import load
from model_store.meta.algorithms import begin, joint
from model_store.meta.algorithms.joint import JointLoop, factorisation_loss
from model_store.meta.network import Network
from model_store.meta.outer import Batch

CONFIG = TrainingConfig(algorithm=AlgorithmName.JOINT, dim=8, anchors=16, neighbours=10, max_support=60)


def test_the_control_goes_down_the_gradient_of_ordinary_matrix_factorisation() -> None:
    rng = np.random.default_rng(0)
    w, vectors, offsets = rng.standard_normal((2, 4)), rng.standard_normal((7, 4)), rng.standard_normal((2, 7))
    target = np.array([[1, 0, 1, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0]], dtype=np.float64)
    towards, pull = rng.standard_normal(4), rng.random(4)
    scores = w @ vectors.T + offsets
    softmax = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    n = target.sum(1, keepdims=True)
    residual = n * softmax - target
    leaves = [torch.from_numpy(leaf).requires_grad_() for leaf in (w, vectors)]
    loss = factorisation_loss(
        *leaves, *map(torch.from_numpy, (offsets, target)), (torch.from_numpy(towards), torch.from_numpy(pull))
    )
    of_w, of_vectors = torch.autograd.grad(loss, leaves)
    np.testing.assert_allclose(of_w.numpy(), residual @ vectors + n * pull * (w - towards))
    np.testing.assert_allclose(of_vectors.numpy(), residual.T @ w)


def test_the_control_serves_from_the_mean_of_its_users_and_forgets_them(source: Path) -> None:
    dataset = load(str(source)).dataset
    outer = begin(dataset, dataset.events, CONFIG, (0, 1, 3, 5))
    inner = outer.network.adaptation(JointLoop)
    outer.algorithm.step(outer, Batch(dataset.events, np.arange(60), dataset.feedback.liked_at_least), CONFIG)
    learned = inner.users.detach().clone()
    assert len(learned) == dataset.events.n_users
    assert learned[:60].abs().sum(1).min() > 0
    assert learned[60:].abs().max() == 0
    torch.testing.assert_close(inner.start, learned.mean(0))
    # A validation that likes the second largest step best.
    best = joint.LOG_STEPS[2]

    def validate(network: Network) -> float:
        return -abs(float(network.adaptation(JointLoop).log_step[0, 0]) - best)

    joint.settle(outer.network, validate)
    assert len(inner.users) == 0
    assert inner.log_step.unique().tolist() == [best]
