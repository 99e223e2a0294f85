import numpy as np
import scipy.sparse as sp
from likes import DISLIKED, LIKED, LIKED_AT_LEAST, random_liked, support_of

from model_store.baselines.ials import IALS

SHAPE = {"dim": 4, "regularisation": 2.0, "unobserved_weight": 0.2}


def test_a_new_user_is_folded_in_by_the_least_squares_of_the_loss():
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


def test_after_many_iterations_the_loss_is_at_its_minimum():
    """The item vectors are the least-squares solution for the user vectors too."""
    liked = random_liked()
    model = IALS.fit(sp.csr_array(liked), LIKED_AT_LEAST, **SHAPE, iterations=300)
    users = model.fold_in(sp.csr_array(liked)).astype(np.float64)
    for item, vector in enumerate(model.solver.item_factors):
        weights = np.where(liked[:, item] > 0, 1.0, SHAPE["unobserved_weight"])
        gram = users.T @ (weights[:, None] * users) + SHAPE["regularisation"] * np.eye(SHAPE["dim"])
        np.testing.assert_allclose(vector, np.linalg.solve(gram, users.T @ liked[:, item]), atol=2e-3)


def test_scores_follow_the_likes_and_are_zero_without_any():
    model = IALS.fit(sp.csr_array(random_liked()), LIKED_AT_LEAST, **SHAPE)
    some, none = model.score(support_of([(0, LIKED), (1, LIKED), (9, DISLIKED)], [(3, DISLIKED)]))
    assert some[2:7].min() > some[7:].max()
    assert (none == 0).all()
