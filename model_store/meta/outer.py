"""The outer loop: learn a starting point from which a few steps personalise well.

Every outer step deals one episode to each user of a batch, adapts to its support, and goes down the gradient of
the full-catalogue softmax on its query, through the unrolled inner loop. The log-likelihood is summed over query
items, not averaged per user: averaging gives light users the same weight and sinks below popularity. An
:class:`Algorithm` may adapt in another way, or step in another way; ``meta.algorithms`` holds all of them.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model_store.config import EpisodeOrder, TrainingConfig
from model_store.data.episodes import deal, hide_attributes
from model_store.data.schema import Dataset, Events
from model_store.errors import TrainingError
from model_store.meta.distributed import ALONE, ProcessGroup
from model_store.meta.inner import AdaptationType, InnerLoop
from model_store.meta.loss import episode_loss
from model_store.meta.network import Network
from model_store.meta.sampling import QueryDraw, solve_temperature

# Validation reads the running average of the weights (Polyak averaging); it is smoother and generalises better.
AVERAGING = 0.98


@dataclass
class Progress:
    """The state of a training run; all of it goes into a checkpoint.

    Attributes:
        epoch: passes done.
        elapsed_s: seconds spent so far, earlier runs of the same training included.
        history: one row per epoch: loss (nats per query item), validation score, entropy of the query items (nats).
        best_score: best validation score so far.
        best_epoch: its epoch.
        best: the averaged weights of that epoch.
    """

    epoch: int = 0
    elapsed_s: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best_score: float = float("-inf")
    best_epoch: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)

    def add_epoch(self, network: nn.Module, score: float, figures: dict[str, float]) -> None:
        """Count an epoch, note its ``figures``, and keep the weights of ``network`` if its ``score`` is the best."""
        self.epoch += 1
        if score > self.best_score:
            self.best_score, self.best_epoch = score, self.epoch
            self.best = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.history.append({"epoch": self.epoch, **figures})


@dataclass(frozen=True)
class Batch:
    """The users of one outer step.

    Attributes:
        events: events of all training users.
        users: int64 (B,), codes into ``events``.
        liked_at_least: value from which on an event is liked.
        draw: how the items of queries are drawn; all items weigh the same if absent.
    """

    events: Events
    users: NDArray[np.int64]
    liked_at_least: float
    draw: QueryDraw | None = None


Validate = Callable[[Network], float]
OuterStep = Callable[["Outer", Batch, TrainingConfig], float | None]


@dataclass
class Outer:
    """The outer loop's state: network, optimiser, running average, generator, algorithm and processes."""

    network: Network
    optimizer: torch.optim.Optimizer
    average: Network
    rng: np.random.Generator
    algorithm: Algorithm
    group: ProcessGroup = ALONE

    @classmethod
    def begin(cls, network: Network, config: TrainingConfig, algorithm: Algorithm | None = None) -> Outer:
        """Fresh state for ``network``; without an ``algorithm``, for the product's own."""
        torch.manual_seed(config.seed)
        # Gathers add up their gradients in any order otherwise, and one seed would give several results.
        torch.use_deterministic_algorithms(mode=True)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        average, rng = copy.deepcopy(network), np.random.default_rng(config.seed)
        return cls(network, optimizer, average, rng, algorithm or Algorithm())

    def go_down(self, loss: Tensor) -> float:
        """Take one step of the optimiser down the gradient of ``loss``, a scalar; returns its value.

        Of several processes each passes its share; losses and gradients add up.

        Raises:
            TrainingError: the loss is not finite.
        """
        whole = self.group.total(loss)
        if not torch.isfinite(whole):
            raise TrainingError(
                f"the loss became {whole.item()}, expected a number; look for outliers among the values of the data, "
                "or train with another --seed"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.group.add_gradients(self.network)
        self.optimizer.step()
        return whole.item()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to continue as if never interrupted."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch_rng"])


def broadcast_start(outer: Outer, progress: Progress) -> Progress:
    """Let all processes continue from the state of rank 0; returns its progress."""
    state, first = outer.group.broadcast(lambda: (outer.state_dict(), progress))
    if not outer.group.is_first:
        outer.load_state_dict(state)
    return first


def episode_step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """Deal an episode to each user and go down the gradient of the loss; None if all queries are empty."""
    chronological = config.episodes is EpisodeOrder.CHRONOLOGICAL
    dealt = (batch.events, batch.users, batch.liked_at_least, config.max_shots, outer.rng)
    episodes = deal(*dealt, chronological=chronological)
    if not episodes.rest_liked.any():
        return None
    episodes = hide_attributes(episodes, config.attribute_dropout, outer.rng)
    weights = torch.from_numpy(batch.draw.weigh(episodes)) if batch.draw else None
    if outer.group.size > 1:
        episodes = episodes.select(np.arange(len(batch.users))[outer.group.shard])
    return outer.go_down(episode_loss(outer.network, episodes, config, weights, outer.group))


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Algorithm:
    """The functions of a meta-learning algorithm; the rest of the network and of the training is the same for all.

    Attributes:
        adaptation: makes the module that turns a support into weights; it is exported in ``adapt.onnx``.
        step: one outer step on a batch of users; its loss, or None if there was nothing to learn from.
        prepare: adds to a fresh network what only the training needs; takes the training users' events.
        settle: makes last choices on a trained network by its validation score, and removes what only training needed.
    """

    adaptation: AdaptationType = InnerLoop
    step: OuterStep = episode_step
    prepare: Callable[[Network, Events], None] = _nothing
    settle: Callable[[Network, Validate], None] = _nothing


def train_epoch(
    outer: Outer, events: Events, liked_at_least: float, config: TrainingConfig, draw: QueryDraw | None = None
) -> Iterator[float]:
    """One pass over the training users; yields the loss of every outer step."""
    users = outer.rng.permutation(events.n_users)
    outer.network.train()
    for first in range(0, len(users), config.batch_users):
        batch = Batch(events, users[first : first + config.batch_users], liked_at_least, draw)
        loss = outer.algorithm.step(outer, batch, config)
        if loss is not None:
            _follow(outer.average, outer.network)
            yield loss


def meta_train(
    outer: Outer,
    dataset: Dataset,
    training: Events,
    validate: Validate,
    config: TrainingConfig,
    *,
    progress: Progress,
    on_epoch: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Run the outer loop until validation stops getting better, and leave the best weights in the network.

    Of several processes the first one validates and reads the clock.

    Args:
        outer: state to begin or to continue with.
        dataset: for its scale of values.
        training: events of the training users only.
        validate: score of a network on the validation users over all k; higher is better.
        config: when to stop.
        progress: where to begin.
        on_epoch: called after each epoch; writes checkpoints and draws bars.
    """
    group, liked_at_least = outer.group, dataset.feedback.liked_at_least
    liked = training.items[training.values >= liked_at_least]
    draw = solve_temperature(np.bincount(liked, minlength=dataset.n_items).astype(np.float64), config.entropy)
    while not _finished(progress, config):
        started = time.monotonic()
        group.reseed(config.seed, progress.epoch)
        losses = list(train_epoch(outer, training, liked_at_least, config, draw))
        if not losses:
            raise TrainingError("no training user liked anything; expected values of at least liked_at_least")
        score = group.broadcast(lambda: validate(outer.average))
        figures = {"loss": float(np.mean(losses)), "validation": score, "query_entropy": draw.end_epoch()}
        progress.add_epoch(outer.average, score, figures)
        elapsed_s = progress.elapsed_s + time.monotonic() - started
        progress.elapsed_s = group.broadcast(lambda: elapsed_s)  # noqa: B023 - called at once
        on_epoch(progress)
    outer.network.load_state_dict(progress.best)
    outer.network.eval()
    outer.algorithm.settle(outer.network, lambda network: group.broadcast(lambda: validate(network)))
    return progress


def _finished(progress: Progress, config: TrainingConfig) -> bool:
    stale = progress.epoch - progress.best_epoch >= config.patience
    return stale or progress.epoch >= config.max_epochs or progress.elapsed_s >= config.time_budget_s


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module) -> None:
    for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(parameter, 1 - AVERAGING)
