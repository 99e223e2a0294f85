"""The outer loop of rating prediction: choose penalty and length on validation users, then train on all.

The outer loss is the likelihood of the query's ratings under the ordinal readout, after the inner loop has adapted to
the support. The penalty and the number of epochs are those with the best likelihood on the validation users. The model
to judge is then trained anew with them, on the validation users too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from model_store.config import RatingConfig
from model_store.data.schema import Events
from model_store.errors import TrainingError
from model_store.studies.ratings.model import RatingModel, SideInformation
from model_store.studies.ratings.rated_users import RatedUsers, deal, divide, pad, query_lengths

# The average of the weights is judged, as in ``meta.outer``; it begins shorter, for trainings of few steps.
AVERAGING = 0.98
SHORTER_FOR = 10


@dataclass(frozen=True)
class Epoch:
    """One pass over the training users.

    Attributes:
        l2: penalty.
        number: passes so far with this penalty, from 1.
        loss: mean over the steps, nats per query rating.
        validation: the same on the validation users; NaN without them.
    """

    l2: float
    number: int
    loss: float
    validation: float


@dataclass(frozen=True)
class Choice:
    """The choice of the validation users: the best epoch, and all that were tried."""

    best: Epoch
    history: tuple[Epoch, ...]


@dataclass(frozen=True)
class DividedUsers:
    """Users with their ratings divided into support and query."""

    support: RatedUsers
    query: Events

    @classmethod
    def of(cls, rated: RatedUsers) -> DividedUsers:
        """The query is each user's last ratings: half of them, 10 at most."""
        support, query = divide(rated.events, query_lengths(rated.events.lengths()))
        return cls(RatedUsers(rated.users, support), query)


class Training:
    """A training in progress: model, running average, optimiser, generator."""

    def __init__(self, side: SideInformation, training: RatedUsers, l2: float, config: RatingConfig) -> None:
        """Begin; ``l2`` is divided by the number of ratings, so that more data counts more against it."""
        self.model = RatingModel(side, training, config)
        self.average = copy.deepcopy(self.model).eval()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        self.rng = np.random.default_rng(config.seed)
        self.steps = 0
        self.training, self.config = training, config
        self.l2 = l2 / len(training.events.items)

    def epoch(self) -> float:
        """One pass over the training users; the mean loss in nats per query rating."""
        order = self.rng.permutation(len(self.training.users))
        size = self.config.batch_users
        losses = [self._step(order[first : first + size]) for first in range(0, len(order), size)]
        return float(np.mean(losses))

    def _step(self, rows: np.ndarray) -> float:
        episodes = deal(self.training.select(rows), self.rng)
        hidden = torch.from_numpy((self.rng.random((len(rows), 1)) < self.config.id_dropout).astype(np.float32))
        z = self.model(*episodes, hidden)
        mask = episodes.query.mask
        loss = (self.model.readout.loss(z, episodes.query.values) * mask).sum() / mask.sum().clamp(min=1)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss.item()}, expected a number; look for outliers among the values of the data, "
                "or train with another --seed"
            )
        self.optimizer.zero_grad(set_to_none=True)
        (loss + self.l2 * self.model.penalty()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._follow()
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        self.steps += 1
        kept = min(AVERAGING, self.steps / (self.steps + SHORTER_FOR))
        for mean, parameter in zip(self.average.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(parameter, 1 - kept)


@torch.no_grad()
def likelihood_loss(model: RatingModel, users: DividedUsers) -> float:
    """Mean −log P(rating) over all query ratings, in nats."""
    query = pad(users.query)
    z = model(torch.from_numpy(users.support.users), pad(users.support.events), query)
    return float((model.readout.loss(z, query.values) * query.mask).sum() / query.mask.sum())


def choose(
    side: SideInformation,
    training: RatedUsers,
    validation: RatedUsers,
    config: RatingConfig,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Choice:
    """Train with each penalty until the validation loss stops falling; the best epoch of all wins.

    Args:
        side: features of items and attributes of users.
        training: ratings to learn from.
        validation: ratings of other users, to choose by.
        config: penalties and limits.
        on_epoch: called after each epoch; draws bars.
    """
    users = DividedUsers.of(validation)
    history: list[Epoch] = []
    for l2 in config.l2:
        run = Training(side, training, l2, config)
        tried: list[Epoch] = []
        while not _finished(tried, config):
            loss = run.epoch()
            tried.append(Epoch(l2, len(tried) + 1, loss, likelihood_loss(run.average, users)))
            on_epoch(tried[-1])
        history.extend(tried)
    return Choice(min(history, key=lambda epoch: epoch.validation), tuple(history))


def refit(
    side: SideInformation,
    rated: RatedUsers,
    best: Epoch,
    config: RatingConfig,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> RatingModel:
    """Train on ``rated`` with the penalty and the number of epochs that the validation users chose."""
    run = Training(side, rated, best.l2, config)
    for number in range(1, best.number + 1):
        on_epoch(Epoch(best.l2, number, run.epoch(), float("nan")))
    return run.average


def _finished(tried: list[Epoch], config: RatingConfig) -> bool:
    if not tried:
        return False
    best = min(tried, key=lambda epoch: epoch.validation)
    return len(tried) - best.number >= config.patience or len(tried) >= config.max_epochs
