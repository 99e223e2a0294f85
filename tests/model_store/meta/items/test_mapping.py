"""The mapping from content to vectors: ridge regression, which keeps the vectors of items with history."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.linear_model import Ridge

from model_store.data.schema import Events
from model_store.meta.items.encoder import ItemEncoder
from model_store.meta.items.mapping import columns_of, fit_mapping, map_content, ridge

N_ITEMS, N_FEATURES, DIM = 120, 15, 4
NAMES = [f"good={number}" for number in range(N_FEATURES)]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def random_features(rng: np.random.Generator) -> sp.csr_array:
    dense = rng.normal(size=(N_ITEMS, N_FEATURES)) * (rng.random((N_ITEMS, N_FEATURES)) < 0.3)
    return sp.csr_array(dense)


@pytest.mark.parametrize("regularisation", [0.1, 30.0])
def test_ridge_is_the_weighted_ridge_of_scikit_learn(rng: np.random.Generator, regularisation: float) -> None:
    features, targets, weights = random_features(rng), rng.normal(size=(N_ITEMS, DIM)), rng.random(N_ITEMS)
    base, by_feature = ridge(features, targets, weights, regularisation)
    np.testing.assert_allclose(base, np.average(targets, axis=0, weights=weights))
    model = Ridge(alpha=regularisation, fit_intercept=False)
    expected = model.fit(features.toarray(), targets - base, sample_weight=weights)
    np.testing.assert_allclose(by_feature, expected.coef_.T, atol=1e-6)


def test_features_that_decide_are_trusted_and_features_that_do_not_are_not(rng: np.random.Generator) -> None:
    features = random_features(rng)
    truth = rng.normal(size=(N_FEATURES, DIM))
    decided = fit_mapping(features, 3 + features @ truth, np.ones(N_ITEMS), np.random.default_rng(1))
    random = fit_mapping(features, rng.normal(size=(N_ITEMS, DIM)), np.ones(N_ITEMS), np.random.default_rng(1))
    assert decided.explained > 0.99
    assert random.explained < 0.1
    assert decided.regularisation < random.regularisation
    np.testing.assert_allclose(decided.by_feature, truth, atol=0.3)


def test_a_column_of_noise_is_silenced_and_the_rest_explain_more(rng: np.random.Generator) -> None:
    telling, noise = random_features(rng), sp.csr_array(rng.normal(size=(N_ITEMS, 60)))
    targets = telling @ rng.normal(size=(N_FEATURES, 1)) + 0.3 * rng.normal(size=(N_ITEMS, 1))
    features, weights = sp.csr_array(sp.hstack([telling, noise])), np.ones(N_ITEMS)
    columns = columns_of([f"a={n}" for n in range(N_FEATURES)] + [f"b~{n}" for n in range(60)])
    alike = fit_mapping(features, targets, weights, np.random.default_rng(1))
    by_column = fit_mapping(features, targets, weights, np.random.default_rng(1), columns)
    assert by_column.explained > alike.explained + 0.02
    np.testing.assert_array_equal(by_column.by_feature[N_FEATURES:], 0)
    assert (by_column.by_feature[:N_FEATURES] != 0).all()


def test_features_belong_to_the_column_that_their_names_begin_with() -> None:
    assert columns_of(["genre=Comedy", "genre=x[1]", "image[0]", "image[1]", "plot~a=b"]).tolist() == [0, 0, 1, 1, 2]


def trained_encoder(rng: np.random.Generator, n_with_history: int) -> tuple[ItemEncoder, Events]:
    """An encoder whose vectors follow content; items from ``n_with_history`` on have no events and other vectors."""
    features = random_features(rng)
    truth = rng.normal(size=(N_FEATURES, DIM))
    vectors = features @ truth
    vectors[n_with_history:] = 99
    encoder = ItemEncoder(
        torch.from_numpy(vectors).float(),
        torch.from_numpy(features.toarray()).float().to_sparse_coo().coalesce(),
        torch.from_numpy(features @ truth[:, 0]).float(),
        -5.0,
    )
    items = np.arange(n_with_history, dtype=np.int32)
    events = Events(np.array([0, n_with_history]), items, np.ones(n_with_history, np.float32), np.zeros(n_with_history))
    return encoder, events


def test_items_with_history_keep_their_vectors_and_those_without_follow_their_content(
    rng: np.random.Generator,
) -> None:
    encoder, events = trained_encoder(rng, n_with_history=100)
    before = encoder.vectors().detach()
    fit = map_content(encoder, NAMES, events, 1.0, seed=0)
    after = encoder.vectors().detach()
    torch.testing.assert_close(after[:100], before[:100], atol=1e-5, rtol=1e-5)
    assert fit["vector_explained"] > 0.9
    for row in (100, 119):
        features = encoder.features[row].coalesce()
        torch.testing.assert_close(after[row], encoder(features.indices()[0], features.values()).detach())
    # The first coordinate of the vectors and the prior follow content in the same way.
    torch.testing.assert_close(after[100:, -1] + 5, after[100:, 0] - encoder.base[0], atol=0.3, rtol=0.1)


def test_without_features_a_new_item_gets_the_mean_and_the_prior_of_new_items(rng: np.random.Generator) -> None:
    vectors = torch.from_numpy(rng.normal(size=(6, DIM))).float()
    nothing = torch.sparse_coo_tensor(
        torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), (6, 1), check_invariants=True
    )
    encoder = ItemEncoder(vectors.clone(), nothing.coalesce(), torch.zeros(6), -5.0)
    events = Events(np.array([0, 5]), np.arange(5, dtype=np.int32), np.ones(5, np.float32), np.zeros(5))
    map_content(encoder, [], events, 1.0, seed=0)
    torch.testing.assert_close(encoder.vectors()[5], torch.cat([vectors[:5].mean(0), torch.tensor([-5.0])]))


def test_a_new_item_without_content_is_a_typical_one_without_likes(rng: np.random.Generator) -> None:
    encoder, events = trained_encoder(rng, n_with_history=100)
    map_content(encoder, NAMES, events, 1.0, seed=0)
    nothing = encoder(torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    torch.testing.assert_close(nothing[:-1], encoder.vectors()[:100, :-1].detach().mean(0))
    assert nothing[-1] == -5
