"""Rating prediction: the inner loop is ridge regression, the readout a distribution, and new items have no id part."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_store.config import RatingConfig
from model_store.data.schema import Events, ItemFeatures
from model_store.studies.ratings.episodes import RatedUsers, deal, divide, of_items, pad
from model_store.studies.ratings.inner import SquaredLoop
from model_store.studies.ratings.model import Known, RatingModel
from model_store.studies.ratings.readout import OrdinalReadout
from model_store.studies.ratings.training import Epoch, choose, refit


def events_of(*users: dict[int, float]) -> Events:
    """Ratings by item, one dictionary a user."""
    lengths = [len(user) for user in users]
    items = [item for user in users for item in user]
    values = [value for user in users for value in user.values()]
    return Events(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.array(items, dtype=np.int32),
        np.array(values, dtype=np.float32),
        np.zeros(len(items)),
    )


def features_of(rows: list[list[int]], n_features: int) -> ItemFeatures:
    """Features by row, all of weight 1."""
    return ItemFeatures(
        [f"f{number}" for number in range(n_features)],
        np.cumsum([0, *map(len, rows)]).astype(np.int64),
        np.array([feature for row in rows for feature in row], dtype=np.int64),
        np.ones(sum(map(len, rows)), dtype=np.float32),
    )


def support(seed: int, k: int = 12, dim: int = 3) -> tuple[torch.Tensor, ...]:
    """start, vectors, residuals, mask and share of new items of one user."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.rand(1, k, dim, generator=generator, dtype=torch.float64) - 0.5
    residuals = torch.randn(1, k, generator=generator, dtype=torch.float64)
    start = torch.randn(1, dim, generator=generator, dtype=torch.float64)
    mask = torch.ones(1, k, dtype=torch.float64)
    return start, vectors, residuals, mask, torch.zeros(1, 1, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_enough_steps_of_the_inner_loop_are_ridge_regression_around_the_start(seed):
    start, vectors, residuals, mask, new = support(seed)
    loop = SquaredLoop(3, 2000).double()
    with torch.no_grad():
        loop.log_pull.copy_(torch.tensor([-1.0, 0.0, 1.0]))
    found = loop(start, vectors, residuals, mask, new)[0].detach().numpy()
    x, pull = vectors[0].numpy(), np.diag(np.exp([-1.0, 0.0, 1.0]))
    expected = np.linalg.solve(x.T @ x + pull, x.T @ residuals[0].numpy() + pull @ start[0].numpy())
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_outer_gradient_goes_through_all_steps():
    start, vectors, residuals, mask, new = support(0, k=4, dim=2)
    loop = SquaredLoop(2, 3).double()
    inputs = [each.requires_grad_() for each in (start, vectors, residuals)]
    assert torch.autograd.gradcheck(lambda *given: loop(*given, mask, new), inputs)


def test_a_user_without_ratings_stays_at_the_start_and_padding_is_no_rating():
    start, vectors, residuals, mask, new = support(1)
    loop = SquaredLoop(3, 4).double()
    torch.testing.assert_close(loop(start, vectors, residuals, 0 * mask, new), start)
    half = mask.clone()
    half[:, 6:] = 0
    alone = loop(start, vectors[:, :6], residuals[:, :6], mask[:, :6], new)
    torch.testing.assert_close(loop(start, vectors, residuals, half, new), alone)


def readout() -> OrdinalReadout:
    return OrdinalReadout(np.array([1, 2, 4, 5], dtype=np.float32), np.array([10, 30, 40, 20]))


def shares_of(head: OrdinalReadout, z: float) -> np.ndarray:
    """P(level | z) of all levels."""
    return (-head.loss(torch.full((4,), z), head.levels)).exp().detach().double().numpy()


@pytest.mark.parametrize("z", [-6.0, -0.7, 0.0, 0.4, 5.0])
def test_the_levels_are_a_distribution_and_the_median_costs_least(z):
    head = readout()
    shares, levels = shares_of(head, z), head.levels.numpy()
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    costs = [shares @ np.abs(levels - guess) for guess in levels]
    assert head.median(torch.tensor([z])).item() == levels[np.argmin(costs)]


def test_an_average_score_begins_with_the_shares_seen_in_training():
    expected = np.array([11, 31, 41, 21]) / 104
    np.testing.assert_allclose(shares_of(readout(), 0.0), expected, atol=2e-3)


def test_a_rating_far_from_its_score_still_has_a_gradient():
    z = torch.tensor([60.0], requires_grad=True)
    readout().loss(z, torch.tensor([1.0])).sum().backward()
    assert z.grad is not None
    assert z.grad.item() == pytest.approx(2.0, rel=1e-3)  # the scale: log-likelihood falls linearly


def test_the_last_ratings_are_the_query():
    told, asked = divide(events_of({3: 5, 1: 4, 2: 3}, {0: 2}, {5: 1, 4: 2}), np.array([2, 0, 2]))
    assert told.items.tolist() == [3, 0]
    assert told.indptr.tolist() == [0, 1, 2, 2]
    assert asked.items.tolist() == [1, 2, 5, 4]
    assert asked.values.tolist() == [4, 3, 1, 2]
    assert asked.indptr.tolist() == [0, 2, 2, 4]


def test_users_stay_when_their_items_go():
    kept = of_items(events_of({0: 1, 1: 2}, {1: 3}, {2: 4, 0: 5}), np.array([True, False, True]))
    assert kept.items.tolist() == [0, 2, 0]
    assert kept.indptr.tolist() == [0, 1, 1, 3]


def test_a_dealt_episode_parts_every_users_ratings_into_support_and_query():
    ratings = RatedUsers(np.array([7, 8]), events_of(dict.fromkeys(range(5), 1.0), dict.fromkeys(range(30), 2.0)))
    episodes = deal(ratings, np.random.default_rng(0))
    assert episodes.users.tolist() == [7, 8]
    torch.testing.assert_close(episodes.support.mask + episodes.query.mask, pad(ratings.events).mask)
    assert episodes.query.mask.sum(1).tolist() == [2, 10]
    other = deal(ratings, np.random.default_rng(1))
    assert (other.query.mask != episodes.query.mask).any()


KNOWN = Known(features_of([[0], [0], [1], [1]], 2), features_of([[0], [0], [1], [1]], 2))
CONFIG = RatingConfig(dim=2, l2=(1.0,), max_epochs=2)


def tastes(n_items: int = 3) -> RatedUsers:
    """Four users who rated the first items of four."""
    return RatedUsers(
        np.arange(4), events_of(*({item: 1.0 + (user + item) % 5 for item in range(n_items)} for user in range(4)))
    )


def test_an_item_that_nobody_rated_in_training_has_no_id_part():
    model = RatingModel(KNOWN, tastes(), CONFIG)
    told, asked = divide(tastes(4).events, np.full(4, 1))
    before = model.predict(RatedUsers(np.arange(4), told), asked)
    with torch.no_grad():
        model.ids[3] = 1000.0
    assert model.predict(RatedUsers(np.arange(4), told), asked).scores.tolist() == before.scores.tolist()
    with torch.no_grad():
        model.ids[2] = 1000.0
    assert model.predict(RatedUsers(np.arange(4), told), asked).scores.tolist() != before.scores.tolist()


def test_values_of_the_query_are_not_read():
    model = RatingModel(KNOWN, tastes(), CONFIG)
    told, asked = divide(tastes(4).events, np.full(4, 1))
    other = Events(asked.indptr, asked.items, 6 - asked.values, asked.times)
    given = RatedUsers(np.arange(4), told)
    assert model.predict(given, asked).scores.tolist() == model.predict(given, other).scores.tolist()


def test_the_penalty_leaves_out_what_items_without_an_id_part_would_have():
    model = RatingModel(KNOWN, tastes(), CONFIG)
    with torch.no_grad():
        for parameter in (model.ids, model.content, model.start_by_attribute):
            parameter.zero_()
        model.ids[3] = 9.0
        model.ids[0] = torch.tensor([3.0, 4.0, 10.0])
    assert model.penalty().item() == pytest.approx(25 + 0.1 * 100)


def test_the_best_epoch_of_all_penalties_is_chosen():
    config = RatingConfig(dim=2, l2=(1.0, 1000.0), max_epochs=4, patience=4)
    told: list[Epoch] = []
    choice = choose(KNOWN, tastes(), tastes(), config, told.append)
    assert tuple(told) == choice.history
    assert [epoch.number for epoch in told] == [1, 2, 3, 4] * 2
    assert choice.best.validation == min(epoch.validation for epoch in told)


def test_one_seed_gives_one_model():
    best = Epoch(1.0, 2, 0.0, 0.0)
    one, other = (refit(KNOWN, tastes(), best, CONFIG).state_dict() for _ in range(2))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)
