"""Users dealt into training, validation and test: nobody who is judged was ever learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.errors import DataError

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
MIN_USERS = 10
# A mean over so many is known well enough; judging more of them would take longer than training.
MAX_JUDGED = 10_000


@dataclass(frozen=True)
class UserSplit:
    """Disjoint user codes, int64 each, that together are all users; every part in increasing order.

    Attributes:
        train: users to learn from, about 70%.
        validation: users to choose settings and the best epoch by, about 10%.
        test: users that only the final evaluation reads, about 20%.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]

    @property
    def judged(self) -> NDArray[np.int64]:
        """The test users that figures are made of: all, or of very many every n-th."""
        return self.test[:: -(-len(self.test) // MAX_JUDGED)]


def split_users(n_users: int, seed: int) -> UserSplit:
    """Split the codes 0 … ``n_users`` - 1 by a seeded permutation; one seed gives one split.

    Raises:
        DataError: there are fewer than ``MIN_USERS`` users, so that a part would be empty.
    """
    if n_users < MIN_USERS:
        raise DataError(f"{n_users} users, expected at least {MIN_USERS} to split into training, validation and test")
    n_validation, n_test = round(n_users * VALIDATION_SHARE), round(n_users * TEST_SHARE)
    order = np.random.default_rng(seed).permutation(n_users).astype(np.int64)
    validation, test, train = np.split(order, [n_validation, n_validation + n_test])
    return UserSplit(np.sort(train), np.sort(validation), np.sort(test))
