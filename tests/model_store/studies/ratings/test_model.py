"""The rating model: new items have no id part, and the query's values are not read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_ratings import SIDE, tastes

from model_store.config import RatingConfig
from model_store.data.schema import Events
from model_store.studies.ratings.model import RatingModel
from model_store.studies.ratings.rated_users import RatedUsers, divide

CONFIG = RatingConfig(dim=2, l2=(1.0,), max_epochs=2)


def test_an_item_unrated_in_training_has_no_id_part():
    model = RatingModel(SIDE, tastes(), CONFIG)
    support, query = divide(tastes(4).events, np.full(4, 1))
    before = model.predict(RatedUsers(np.arange(4), support), query)
    with torch.no_grad():
        model.ids[3] = 1000.0
    assert model.predict(RatedUsers(np.arange(4), support), query).scores.tolist() == before.scores.tolist()
    with torch.no_grad():
        model.ids[2] = 1000.0
    assert model.predict(RatedUsers(np.arange(4), support), query).scores.tolist() != before.scores.tolist()


def test_values_of_the_query_are_not_read():
    model = RatingModel(SIDE, tastes(), CONFIG)
    support, query = divide(tastes(4).events, np.full(4, 1))
    other = Events(query.indptr, query.items, 6 - query.values, query.times)
    users = RatedUsers(np.arange(4), support)
    assert model.predict(users, query).scores.tolist() == model.predict(users, other).scores.tolist()


def test_the_penalty_leaves_out_missing_id_parts():
    model = RatingModel(SIDE, tastes(), CONFIG)
    with torch.no_grad():
        for parameter in (model.ids, model.content, model.start_by_attribute):
            parameter.zero_()
        model.ids[3] = 9.0
        model.ids[0] = torch.tensor([3.0, 4.0, 10.0])
    assert model.penalty().item() == pytest.approx(25 + 0.1 * 100)
