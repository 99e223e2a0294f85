"""The outer loop of rating prediction: validation chooses, and one seed gives one model."""

from __future__ import annotations

import torch
from small_ratings import SIDE, tastes

from model_store.config import RatingConfig
from model_store.studies.ratings.fitting import Epoch, choose, refit

CONFIG = RatingConfig(dim=2, l2=(1.0,), max_epochs=2)


def test_the_best_epoch_of_all_penalties_is_chosen():
    config = RatingConfig(dim=2, l2=(1.0, 1000.0), max_epochs=4, patience=4)
    epochs: list[Epoch] = []
    choice = choose(SIDE, tastes(), tastes(), config, epochs.append)
    assert tuple(epochs) == choice.history
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4] * 2
    assert choice.best.validation == min(epoch.validation for epoch in epochs)


def test_one_seed_gives_one_model():
    best = Epoch(1.0, 2, 0.0, 0.0)
    first, second = (refit(SIDE, tastes(), best, CONFIG).state_dict() for _ in range(2))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=0, atol=0)
