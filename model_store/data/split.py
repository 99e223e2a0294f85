"""Split of users into training, validation and test users; test users are never used in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
MIN_USERS = 10
# A mean over so many users is precise enough; the evaluation of more would take longer than training.
MAX_JUDGED = 10_000


@dataclass(frozen=True)
class UserSplit:
    """Disjoint groups of user codes that cover all users, int64, each in increasing order.

    Attributes:
        train: users for training, about 70%.
        validation: users for the choice of settings and of the best epoch, about 10%.
        test: users for the final evaluation only, about 20%.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def judged(self) -> NDArray[np.int64]:
        """Test users that are evaluated: all, or every n-th of more than ``MAX_JUDGED``."""
        return self.test[:: -(-len(self.test) // MAX_JUDGED)]


def split_users(n_users: int, seed: int) -> UserSplit:
    """Split the codes 0 … ``n_users`` - 1 by a permutation that depends on ``seed`` only.

    Raises:
        DataError: there are fewer than ``MIN_USERS`` users, so that a group could be empty.
    """
    if n_users < MIN_USERS:
        raise DataError(f"{n_users} users, expected at least {MIN_USERS} for training, validation and test")
    n_validation, n_test = round(n_users * VALIDATION_SHARE), round(n_users * TEST_SHARE)
    order = np.random.default_rng(seed).permutation(n_users).astype(np.int64)
    validation, test, train = np.split(order, [n_validation, n_validation + n_test])
    return UserSplit(np.sort(train), np.sort(validation), np.sort(test))
