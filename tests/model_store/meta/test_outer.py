"""The outer loop: one seed gives one result, and a loss that explodes stops the training."""

from __future__ import annotations

from pathlib import Path

import pytest
from short_training import CONFIG, same_result, short_training

from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.errors import TrainingError


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def test_one_seed_gives_one_result(dataset: Dataset) -> None:
    first = short_training(dataset, CONFIG)
    assert same_result(first, short_training(dataset, CONFIG))
    assert not same_result(first, short_training(dataset, CONFIG.model_copy(update={"seed": 1})))


def test_a_loss_that_explodes_stops_the_training(dataset: Dataset) -> None:
    with pytest.raises(
        TrainingError, match="look for outliers among the values of the data, or train with another --seed"
    ):
        short_training(dataset, CONFIG.model_copy(update={"learning_rate": 1e30}))
