"""The outer loop: learn a starting point from which a few steps personalise well.

Every outer step deals one episode to each user of a batch, adapts to its support, and goes down the gradient of
the full-catalogue softmax on its query, through the unrolled inner loop. The log-likelihood is summed over query
items, not averaged per user: averaging gives light users the same weight and sinks below popularity. An
:class:`Algorithm` may adapt in another way, or step in another way; ``meta.algorithms`` holds those there are.
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
from model_store.data.episodes import Episodes, deal, hide_attributes
from model_store.data.schema import Dataset, Events
from model_store.errors import TrainingError
from model_store.meta.distributed import ALONE, World
from model_store.meta.inner import InnerLoop
from model_store.meta.network import AdaptationType, Network
from model_store.meta.sampling import QueryDraw, steer

# Validation reads the running average of the weights (Polyak averaging); it is smoother and generalises better.
AVERAGING = 0.98


@dataclass
class Progress:
    """Where a training run stands; all of it goes into a checkpoint.

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


@dataclass(frozen=True)
class Batch:
    """The users of one outer step.

    Attributes:
        events: events of all training users.
        users: int64 (B,), codes into ``events``.
        liked_at_least: value from which on an event is liked.
        draw: how the items of queries are drawn; as they come if absent.
    """

    events: Events
    users: NDArray[np.int64]
    liked_at_least: float
    draw: QueryDraw | None = None


Validate = Callable[[Network], float]
OuterStep = Callable[["Outer", Batch, TrainingConfig], float | None]


@dataclass
class Outer:
    """The outer loop's state: network, optimiser, running average, generator; the algorithm, and who moves it."""

    network: Network
    optimizer: torch.optim.Optimizer
    average: nn.Module
    rng: np.random.Generator
    algorithm: Algorithm
    world: World = ALONE

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
        """One step of the optimiser down the gradient of ``loss``, a scalar; its value.

        Of several processes each brings its share; losses and gradients add up.

        Raises:
            TrainingError: the loss is no finite number.
        """
        whole = self.world.total(loss)
        if not torch.isfinite(whole):
            raise TrainingError(
                f"the loss became {whole.item()}, expected a number; look for outliers among the values of the data, "
                "or train with another --seed"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.world.add_gradients(self.network)
        self.optimizer.step()
        return whole.item()

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs to go on as if never interrupted."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch_rng"])


def vector_penalty(network: Network, config: TrainingConfig) -> Tensor:
    """L2 on the vectors of items and of attributes; a scalar."""
    of_items = config.l2 * network.encoder.vectors()[:, :-1].square().mean()
    # Summed, not averaged: an attribute of few users is drawn to zero harder than one of many.
    return of_items + config.attribute_l2 * network.inner.attribute_vectors().square().sum()


def start_together(outer: Outer, progress: Progress) -> Progress:
    """Let all processes go on from where the first one stands."""
    state, told = outer.world.of_first(lambda: (outer.state_dict(), progress))
    if not outer.world.is_first:
        outer.load_state_dict(state)
    return told


def episode_loss(
    network: Network,
    episodes: Episodes,
    config: TrainingConfig,
    weights: Tensor | None = None,
    world: World = ALONE,
) -> Tensor:
    """Negative log-likelihood per query item, plus L2 on the vectors of items and of attributes; a scalar.

    Args:
        network: to be trained.
        episodes: supports and queries.
        config: dropout and L2.
        weights: float32 (n_items,), how much each item counts in a query; all alike if absent.
        world: who holds the rest of the batch; the losses of all processes add up to that of the batch.
    """
    n_items = network.own_share.shape[0]
    episode, item = torch.from_numpy(episodes.rest)
    query = torch.from_numpy(episodes.rest_liked)
    target = torch.zeros(len(episodes.support.rows), n_items)
    target[episode[query], item[query]] = 1.0
    support_liked = torch.from_numpy(episodes.support_liked)
    scores = network(episodes.support, own=target, support_liked=support_liked, dropout=config.dropout)
    rows, mask = torch.from_numpy(episodes.support.rows), torch.from_numpy(episodes.support.mask)
    # The support is not recommended again, so it does not compete either.
    seen = torch.zeros_like(target).scatter_add(1, rows, mask)
    likelihood = torch.log_softmax(scores.masked_fill(seen > 0, -1e9), dim=1)
    counted = _like_weights(episodes, target)
    counted = counted if weights is None else counted * weights
    whole = world.total(counted.sum()).clamp(min=1)
    return vector_penalty(network, config) / world.size - (likelihood * counted).sum() / whole


def _like_weights(episodes: Episodes, target: Tensor) -> Tensor:
    """How much each item of a query counts, float32 (B, n_items): as ``target`` where all likes count alike."""
    if episodes.rest_weights is None:
        return target
    liked = episodes.rest_liked
    episode, item = torch.from_numpy(episodes.rest[:, liked])
    weighted = torch.zeros_like(target)
    weighted[episode, item] = torch.from_numpy(episodes.rest_weights[liked])
    return weighted


def episode_step(outer: Outer, batch: Batch, config: TrainingConfig) -> float | None:
    """Deal an episode to each user and go down the gradient of their loss; None if nobody's query has an item."""
    chronological = config.episodes is EpisodeOrder.CHRONOLOGICAL
    dealt = (batch.events, batch.users, batch.liked_at_least, config.max_shots, outer.rng)
    episodes = deal(*dealt, chronological=chronological)
    if not episodes.rest_liked.any():
        return None
    episodes = hide_attributes(episodes, config.attribute_dropout, outer.rng)
    weights = torch.from_numpy(batch.draw.weigh(episodes)) if batch.draw else None
    if outer.world.size > 1:
        episodes = episodes.select(np.arange(len(batch.users))[outer.world.own])
    return outer.go_down(episode_loss(outer.network, episodes, config, weights, outer.world))


def _nothing(*_: object) -> None:
    """Nothing to do."""


@dataclass(frozen=True)
class Algorithm:
    """What a meta-learning algorithm supplies; the rest of the network and of the training is the same for all.

    Attributes:
        adaptation: makes the module that turns a support into ``user_state``; it is exported as ``adapt.onnx``.
        step: one outer step on a batch of users; its loss, or None if there was nothing to learn from.
        prepare: adds to a fresh network what only the training needs; takes the training users' events.
        settle: last choices on a trained network by its validation score, and off with what only the training needed.
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
    on_step: Callable[[float], None] = lambda _: None,
    on_epoch: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Run the outer loop until validation stops getting better, and leave the best weights in the network.

    Of several processes the first one validates and looks at the clock.

    Args:
        outer: state to begin or to go on with.
        dataset: for its scale of values.
        training: events of the training users only.
        validate: score of a network on the validation users over all k; higher is better.
        config: when to stop.
        progress: where to begin.
        on_step: told the loss of each outer step.
        on_epoch: told after each epoch; writes checkpoints and draws bars.
    """
    averaged, world = outer.average, outer.world
    liked_at_least = dataset.feedback.liked_at_least
    liked = training.items[training.values >= liked_at_least]
    draw = steer(np.bincount(liked, minlength=dataset.n_items).astype(np.float64), config.entropy)
    while not _finished(progress, config):
        started = time.monotonic()
        world.reseed(config.seed, progress.epoch)
        losses = []
        for loss in train_epoch(outer, training, liked_at_least, config, draw):
            losses.append(loss)
            on_step(loss)
        if not losses:
            raise TrainingError("no training user liked anything; expected values of at least liked_at_least")
        progress.epoch += 1
        score = world.of_first(lambda: validate(averaged))  # type: ignore[arg-type]
        if score > progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch
            progress.best = {name: tensor.clone() for name, tensor in averaged.state_dict().items()}
        told = {"loss": float(np.mean(losses)), "validation": score, "query_entropy": draw.end_epoch()}
        progress.history.append({"epoch": progress.epoch, **told})
        elapsed_s = progress.elapsed_s + time.monotonic() - started
        progress.elapsed_s = world.of_first(lambda: elapsed_s)  # noqa: B023 - called at once
        on_epoch(progress)
    outer.network.load_state_dict(progress.best)
    outer.network.eval()
    outer.algorithm.settle(outer.network, lambda network: world.of_first(lambda: validate(network)))
    return progress


def _finished(progress: Progress, config: TrainingConfig) -> bool:
    stale = progress.epoch - progress.best_epoch >= config.patience
    return stale or progress.epoch >= config.max_epochs or progress.elapsed_s >= config.time_budget_s


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module) -> None:
    for mean, parameter in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(parameter, 1 - AVERAGING)
