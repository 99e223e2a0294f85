import itertools

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from likes import DISLIKED, LIKED, LIKED_AT_LEAST, liked_of, random_liked, support_of
from sklearn.linear_model import Ridge
from torch.distributions import Normal, kl_divergence

from model_store.baselines import (
    IALS,
    ByShots,
    ItemItem,
    Popularity,
    VAESchedule,
    WithPopularity,
    fit_multi_vae,
    item_knn,
    liked_matrix,
)
from model_store.baselines.multi_vae import BATCH_USERS, Autoencoder, _batches
from model_store.meta.parts.ease import CoCounts, ease


def test_only_liked_events_of_the_support_count():
    support = support_of([(2, LIKED), (1, DISLIKED), (0, LIKED_AT_LEAST)], [])
    assert liked_matrix(support, LIKED_AT_LEAST, 4).toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_padding_is_no_event_even_where_everything_counts_as_liked():
    assert liked_matrix(support_of([(1, 0.0), (2, 0.0)], [(2, 0.0)]), 0.0, 3).toarray().tolist() == [
        [0, 1, 1],
        [0, 0, 1],
    ]


def test_popularity_is_the_log_of_smoothed_likes_and_the_same_for_everybody():
    popularity = Popularity.fit(liked_of([0], [0, 1], [0], n_items=3))
    expected = np.log([(3 + 1) / 4, (1 + 1) / 4, (0 + 1) / 4])
    np.testing.assert_allclose(popularity.score(support_of([(1, LIKED)], [])), [expected, expected], rtol=1e-6)


def test_counts_are_kept_of_the_items_that_most_users_liked():
    counts = CoCounts.count(liked_of([0, 2], [2, 3], [0, 2], [2], n_items=4), max_items=2)
    assert counts.kept.tolist() == [0, 2]
    assert counts.together.tolist() == [[2, 2], [2, 4]]
    assert counts.n_items == 4


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_item_knn_by_hand(shrinkage):
    counts = CoCounts.count(liked_of([0, 1], [0, 1], [0], [0, 2], n_items=4), max_items=4)
    weights = item_knn(counts, shrinkage)
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2 / (np.sqrt(4 * 2) + shrinkage)
    expected[0, 2] = expected[2, 0] = 1 / (np.sqrt(4 * 1) + shrinkage)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("regularisation", [1.0, 30.0, 300.0])
def test_ease_is_the_ridge_regression_of_every_item_on_all_others(regularisation):
    liked = random_liked()
    expected = np.zeros((liked.shape[1],) * 2)
    for item in range(liked.shape[1]):
        others = np.delete(np.arange(liked.shape[1]), item)
        ridge = Ridge(alpha=regularisation, fit_intercept=False).fit(liked[:, others], liked[:, item])
        expected[others, item] = ridge.coef_
    weights = ease(CoCounts.count(sp.csr_array(liked), max_items=liked.shape[1]), regularisation)
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_fitting_leaves_the_counts_as_they_were():
    counts = CoCounts.count(sp.csr_array(random_liked()), max_items=14)
    before = counts.together.copy()
    ease(counts, 10.0)
    item_knn(counts, 10.0)
    np.testing.assert_array_equal(counts.together, before)


def test_an_item_item_model_adds_the_weights_of_what_was_liked_and_covers_only_what_it_kept():
    weights = np.array([[0, 2, 3], [5, 0, 7], [11, 13, 0]], dtype=np.float32)
    model = ItemItem(weights, kept=np.array([0, 2, 3]), n_items=5, liked_at_least=LIKED_AT_LEAST)
    scores = model.score(support_of([(0, LIKED), (2, LIKED)], [(3, LIKED), (0, DISLIKED)], [(1, LIKED)], []))
    assert scores.tolist() == [[5, 0, 2, 10, 0], [11, 0, 13, 0, 0], [0] * 5, [0] * 5]


def test_each_k_has_its_own_candidate():
    popularity = Popularity(np.zeros(2, dtype=np.float32))
    model = ItemItem(np.array([[0, 1], [1, 0]], dtype=np.float32), np.arange(2), 2, LIKED_AT_LEAST)
    by_shots = ByShots({k: WithPopularity(model, popularity, beta) for k, beta in {0: 1.0, 1: 2.0, 3: 4.0}.items()})
    event = (0, LIKED)
    for shots, beta in ((1, 2.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        score = by_shots.score(support_of([event] * shots))
        assert score.tolist() == [[0, beta * shots]]
    assert by_shots.score(support_of([])).tolist() == [[0, 0]]


SHAPE = {"dim": 4, "regularisation": 2.0, "unobserved_weight": 0.2}


def test_ials_folds_a_user_in_by_the_least_squares_of_the_loss():
    liked = random_liked()
    model = IALS.fit(sp.csr_array(liked), LIKED_AT_LEAST, **SHAPE)
    vectors = model.solver.item_factors.astype(np.float64)
    new = random_liked(n_users=9)
    expected = []
    for user in new:
        weights = np.where(user > 0, 1.0, SHAPE["unobserved_weight"])
        gram = vectors.T @ (weights[:, None] * vectors) + SHAPE["regularisation"] * np.eye(SHAPE["dim"])
        expected.append(np.linalg.solve(gram, vectors.T @ user))
    np.testing.assert_allclose(model.fold_in(sp.csr_array(new)), expected, rtol=1e-4, atol=1e-5)


def test_ials_is_at_rest_in_its_loss_after_many_turns():
    """Both sides solve each other: the items' vectors are the least squares of the users' too."""
    liked = random_liked()
    model = IALS.fit(sp.csr_array(liked), LIKED_AT_LEAST, **SHAPE, turns=300)
    users = model.fold_in(sp.csr_array(liked)).astype(np.float64)
    for item, own in enumerate(model.solver.item_factors):
        weights = np.where(liked[:, item] > 0, 1.0, SHAPE["unobserved_weight"])
        gram = users.T @ (weights[:, None] * users) + SHAPE["regularisation"] * np.eye(SHAPE["dim"])
        np.testing.assert_allclose(own, np.linalg.solve(gram, users.T @ liked[:, item]), atol=2e-3)


def test_ials_scores_by_what_was_liked_and_is_silent_without_likes():
    model = IALS.fit(sp.csr_array(random_liked()), LIKED_AT_LEAST, **SHAPE)
    some, none = model.score(support_of([(0, LIKED), (1, LIKED), (9, DISLIKED)], [(3, DISLIKED)]))
    assert some[2:7].min() > some[7:].max()
    assert (none == 0).all()


def learned_vae(liked: np.ndarray, kept: np.ndarray, judge=lambda _: 0.0, *, max_steps: int = 200, **schedule):
    schedule = VAESchedule(max_steps, **({"check_every": max_steps} | schedule))
    shape = {"hidden": 16, "dropout": 0.5, "kl_weight": 0.2}
    return fit_multi_vae(sp.csr_array(liked), kept, LIKED_AT_LEAST, judge, schedule=schedule, **shape)


def test_a_multi_vae_learns_which_half_of_the_catalogue_goes_together():
    model = learned_vae(random_liked(n_items=16), np.arange(16))
    lower, upper = model.score(support_of([(0, LIKED), (1, LIKED)], [(9, LIKED), (0, DISLIKED)]))
    assert lower[:8].min() > lower[8:].max()
    assert upper[8:].min() > upper[:8].max()


def test_the_divergence_of_a_multi_vae_is_that_of_its_normals():
    torch.manual_seed(0)
    autoencoder = Autoencoder(n_items=6, hidden=8, latent=3, dropout=0.0).eval()
    liked = torch.tensor([[1.0, 0, 1, 0, 0, 1]])
    mean, log_variance = autoencoder.encoder(liked / 3**0.5).chunk(2, dim=1)
    encoded, standard = Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)
    _, divergence = autoencoder(liked)
    torch.testing.assert_close(divergence, kl_divergence(encoded, standard).sum(1))


def test_a_multi_vae_ranks_what_it_does_not_cover_last():
    kept = np.array([0, 2, 5])
    scores = learned_vae(random_liked(), kept, max_steps=5).score(support_of([(2, LIKED)]))[0]
    others = np.setdiff1d(np.arange(14), kept)
    assert (scores[others] == scores[kept].min()).all()
    assert len(set(scores[kept])) == 3


def test_a_multi_vae_keeps_the_weights_that_validation_liked_best_and_stops_after_its_patience():
    figures, seen = iter([1.0, 3.0, 2.0, 2.5, 9.0]), []
    support = support_of([(0, LIKED)])

    def judge(model):
        seen.append(model.score(support))
        return next(figures)

    model = learned_vae(random_liked(), np.arange(14), judge, check_every=10, patience=2)
    assert len(seen) == 4
    np.testing.assert_array_equal(model.score(support), seen[1])


def test_one_seed_gives_one_multi_vae_and_leaves_the_generator_of_others_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    support = support_of([(0, LIKED)])
    first, second = (learned_vae(random_liked(), np.arange(14), max_steps=20).score(support) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.rand(3), expected)


def test_every_user_is_in_one_batch_of_an_epoch_and_no_batch_is_short():
    liked = np.eye(2 * BATCH_USERS + 4, dtype=np.float32)
    liked[7] = 0
    batches = list(itertools.islice(_batches(sp.csr_array(liked), np.random.default_rng(0)), 3))
    assert [len(batch) for batch in batches] == [87, 86, 86]
    np.testing.assert_array_equal(torch.cat(batches).sum(0), liked.sum(0))
