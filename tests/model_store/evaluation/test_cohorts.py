"""Cohorts: disjoint users by role, counted once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.evaluation.cohorts import Cohorts, order_of


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def cohorts(dataset: Dataset) -> Cohorts:
    return Cohorts.of(dataset, 0, (0, 1, 3))


def test_no_user_is_in_two_cohorts(cohorts: Cohorts) -> None:
    users = [cohorts.split.train, cohorts.validation.users, cohorts.test.users]
    assert len(np.unique(np.concatenate(users))) == sum(map(len, users))


def test_only_likes_of_training_users_are_counted(cohorts: Cohorts) -> None:
    training = cohorts.training
    assert cohorts.liked.shape == (len(cohorts.split.train), cohorts.dataset.n_items)
    assert cohorts.liked.sum() == (training.values >= cohorts.liked_at_least).sum()
    row = int(np.diff(cohorts.liked.indptr).argmax())
    run = training.user(row)
    liked = training.items[run][training.values[run] >= cohorts.liked_at_least]
    assert set(cohorts.liked[[row]].indices) == set(liked.tolist())


def test_counts_and_tasks_are_made_once(cohorts: Cohorts) -> None:
    for name in ("training", "liked", "facts", "validation", "test"):
        assert getattr(cohorts, name) is getattr(cohorts, name)


def test_the_protocol_is_chosen_from_the_data_if_no_shots_are_set(dataset: Dataset) -> None:
    assert Cohorts.of(dataset, 0).protocol.shots == (0, 1, 3, 5, 10, 20)


def test_the_order_of_events_in_words(dataset: Dataset) -> None:
    assert order_of(dataset) == "time"
    assert order_of(replace(dataset, has_time=False)) == "sequence"
    assert order_of(replace(dataset, has_time=False, has_order=False)) == "random, seeded"
