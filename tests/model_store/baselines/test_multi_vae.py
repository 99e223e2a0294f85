import itertools

import numpy as np
import scipy.sparse as sp
import torch
from likes import DISLIKED, LIKED, LIKED_AT_LEAST, random_liked, support_of
from torch.distributions import Normal, kl_divergence

from model_store.baselines.multi_vae import BATCH_USERS, Autoencoder, VAESchedule, _batches, fit_multi_vae


def learned_vae(liked: np.ndarray, kept: np.ndarray, judge=lambda _: 0.0, *, max_steps: int = 200, **schedule):
    schedule = VAESchedule(max_steps, **({"check_every": max_steps} | schedule))
    shape = {"hidden": 16, "dropout": 0.5, "kl_weight": 0.2}
    return fit_multi_vae(sp.csr_array(liked), kept, LIKED_AT_LEAST, judge, schedule=schedule, **shape)


def test_the_two_halves_of_the_catalogue_are_learned():
    model = learned_vae(random_liked(n_items=16), np.arange(16))
    lower, upper = model.score(support_of([(0, LIKED), (1, LIKED)], [(9, LIKED), (0, DISLIKED)]))
    assert lower[:8].min() > lower[8:].max()
    assert upper[8:].min() > upper[:8].max()


def test_the_divergence_is_that_of_two_normal_distributions():
    torch.manual_seed(0)
    autoencoder = Autoencoder(n_items=6, hidden=8, latent=3, dropout=0.0).eval()
    liked = torch.tensor([[1.0, 0, 1, 0, 0, 1]])
    mean, log_variance = autoencoder.encoder(liked / 3**0.5).chunk(2, dim=1)
    encoded, standard = Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)
    _, divergence = autoencoder(liked)
    torch.testing.assert_close(divergence, kl_divergence(encoded, standard).sum(1))


def test_uncovered_items_are_ranked_last():
    kept = np.array([0, 2, 5])
    scores = learned_vae(random_liked(), kept, max_steps=5).score(support_of([(2, LIKED)]))[0]
    uncovered = np.setdiff1d(np.arange(14), kept)
    assert (scores[uncovered] == scores[kept].min()).all()
    assert len(set(scores[kept])) == 3


def test_the_weights_with_the_best_validation_are_kept_and_training_stops_after_its_patience():
    figures, judged = iter([1.0, 3.0, 2.0, 2.5, 9.0]), []
    support = support_of([(0, LIKED)])

    def judge(model):
        judged.append(model.score(support))
        return next(figures)

    model = learned_vae(random_liked(), np.arange(14), judge, check_every=10, patience=2)
    assert len(judged) == 4
    np.testing.assert_array_equal(model.score(support), judged[1])


def test_one_seed_gives_one_model_and_the_global_generator_is_unchanged():
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
