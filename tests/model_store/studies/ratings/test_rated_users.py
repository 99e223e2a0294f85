"""Ratings are divided into support and query, and dealt into episodes."""

from __future__ import annotations

import numpy as np
import torch
from small_ratings import events_of

from model_store.studies.ratings.rated_users import RatedUsers, deal, divide, of_items, pad


def test_the_last_ratings_are_the_query():
    support, query = divide(events_of({3: 5, 1: 4, 2: 3}, {0: 2}, {5: 1, 4: 2}), np.array([2, 0, 2]))
    assert support.items.tolist() == [3, 0]
    assert support.indptr.tolist() == [0, 1, 2, 2]
    assert query.items.tolist() == [1, 2, 5, 4]
    assert query.values.tolist() == [4, 3, 1, 2]
    assert query.indptr.tolist() == [0, 2, 2, 4]


def test_users_stay_when_their_items_go():
    selected = of_items(events_of({0: 1, 1: 2}, {1: 3}, {2: 4, 0: 5}), np.array([True, False, True]))
    assert selected.items.tolist() == [0, 2, 0]
    assert selected.indptr.tolist() == [0, 1, 1, 3]


def test_an_episode_divides_every_users_ratings_into_support_and_query():
    ratings = RatedUsers(np.array([7, 8]), events_of(dict.fromkeys(range(5), 1.0), dict.fromkeys(range(30), 2.0)))
    episodes = deal(ratings, np.random.default_rng(0))
    assert episodes.users.tolist() == [7, 8]
    torch.testing.assert_close(episodes.support.mask + episodes.query.mask, pad(ratings.events).mask)
    assert episodes.query.mask.sum(1).tolist() == [2, 10]
    other = deal(ratings, np.random.default_rng(1))
    assert (other.query.mask != episodes.query.mask).any()
