import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.data.split import MIN_USERS, split_users
from model_store.errors import DataError

seeds = st.integers(0, 2**32 - 1)


@given(n_users=st.integers(MIN_USERS, 3000), seed=seeds)
def test_every_user_is_in_exactly_one_group(n_users, seed):
    split = split_users(n_users, seed)
    users = np.concatenate([split.train, split.validation, split.test])
    assert np.array_equal(np.sort(users), np.arange(n_users))
    assert all(part.dtype == np.int64 and len(part) for part in (split.train, split.validation, split.test))


@given(seed=seeds)
def test_groups_are_70_10_20_percent(seed):
    split = split_users(1000, seed)
    assert (len(split.train), len(split.validation), len(split.test)) == (700, 100, 200)


@pytest.mark.parametrize(("n_users", "judged"), [(50_000, 10_000), (50_010, 5_001), (140_000, 9_334)])
def test_every_nth_of_very_many_test_users_is_evaluated(n_users, judged):
    split = split_users(n_users, 0)
    assert len(split.judged) == judged
    assert np.isin(split.judged, split.test).all()
    assert split.judged[-1] > 0.99 * split.test[-1]


def test_one_seed_gives_one_split_and_another_seed_another():
    assert np.array_equal(split_users(100, 7).test, split_users(100, 7).test)
    assert not np.array_equal(split_users(100, 7).test, split_users(100, 8).test)


def test_too_few_users_to_split_are_refused():
    with pytest.raises(DataError, match="9 users, expected at least 10"):
        split_users(9, 0)
