"""Cohorts: the users of a data set that a model learns from, is chosen by, and is judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.data.schema import Dataset, Events
from model_store.data.split import UserSplit, split_users
from model_store.evaluation.beyond_accuracy import ItemFacts
from model_store.evaluation.protocol import KShot, Tasks, choose_protocol, make_tasks
from model_store.meta.statistics import Statistics, count

# Validation is read after every epoch; this many users are enough to choose by.
MAX_VALIDATION_USERS = 1000


@dataclass(frozen=True)
class Cohorts:
    """A data set, its split into users, and the protocol that the held-out users are judged by.

    Counts and tasks are computed on first use and kept.

    Attributes:
        dataset: the data.
        split: training, validation and test users.
        protocol: the k-shot protocol of validation and test users.
        seed: seed of the split.
    """

    dataset: Dataset
    split: UserSplit
    protocol: KShot
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, seed: int, shots: tuple[int, ...] | None = None) -> Cohorts:
        """Split the users by ``seed``; the protocol has ``shots``, or those that the data allows if absent.

        Raises:
            DataError: there are too few users, or too few of them have enough events for the protocol.
        """
        split = split_users(dataset.events.n_users, seed)
        return cls(dataset, split, choose_protocol(dataset, shots, _judged_users(split)), seed)

    @property
    def liked_at_least(self) -> float:
        """Value from which an event counts as liked."""
        return self.dataset.feedback.liked_at_least

    @cached_property
    def training(self) -> Events:
        """Events of the training users."""
        return self.dataset.events.select(self.split.train)

    @cached_property
    def statistics(self) -> Statistics:
        """Counts over the training users."""
        return count(self.training, self.dataset.n_items, self.liked_at_least)

    @property
    def liked(self) -> sp.csr_array:
        """Likes of the training users, (n_training_users, n_items), ones."""
        return self.statistics.liked

    @cached_property
    def facts(self) -> ItemFacts:
        """Popularity and content of the items, for the metrics beyond accuracy."""
        return ItemFacts.of(self.dataset.features, self.liked)

    @cached_property
    def validation(self) -> Tasks:
        """Tasks of the validation users, whom every choice is made by."""
        return make_tasks(self.dataset, validation_users(self.split), self.protocol)

    @cached_property
    def test(self) -> Tasks:
        """Tasks of the test users, for the final figures only."""
        return make_tasks(self.dataset, self.split.judged, self.protocol)


def validation_users(split: UserSplit) -> NDArray[np.int64]:
    """The validation users to choose by: all, or the first of very many."""
    return split.validation[:MAX_VALIDATION_USERS]


def _judged_users(split: UserSplit) -> Mapping[str, NDArray[np.int64]]:
    return {"validation users": validation_users(split), "test users": split.judged}


def order_of(dataset: Dataset) -> str:
    """Order of a user's events, in words."""
    return "time" if dataset.has_time else "sequence" if dataset.has_order else "random, seeded"
