import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from likes import tasks_of

from model_store.baselines.mixing import mixed_headline
from model_store.baselines.popularity import Popularity, WithPopularity
from model_store.evaluation.figures import HEADLINE
from model_store.evaluation.protocol import KShot, Tasks, evaluate


class Fixed:
    """Fixed scores, one row per user of the tasks."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, support):
        return self.scores[: len(support.rows)]


class TestMixing:
    @given(
        arrays(np.float32, (2, 300), elements=st.sampled_from([-2, 0, 0, 0, 0.5, 1, 4])),
        arrays(np.float32, 300, elements=st.sampled_from([-4, -3, -1])),
        st.sets(st.integers(0, 299), max_size=150),
        st.sets(st.integers(0, 299), min_size=1, max_size=20),
    )
    def test_a_mix_is_judged_as_by_itself(self, scores, log_popularity, masked, query):
        """Powers of two: without rounding, all ties are true ties."""
        masked, query = (np.array(sorted(rows), dtype=np.int32) for rows in (masked, query - masked or {299}))
        two = tasks_of([(0, 1)] * 2, 300)
        tasks = Tasks(KShot((0, 1), 2), two.events, two.users, [query] * 2, [np.setdiff1d(masked, query)] * 2, 300)
        model, popularity, betas = Fixed(scores), Popularity(log_popularity), (0.5, 2.0, 64.0)
        expected = [
            evaluate(WithPopularity(model, popularity, beta), tasks)[1].per_user[HEADLINE].mean() for beta in betas
        ]
        np.testing.assert_allclose(mixed_headline(model, popularity, betas, tasks, 1), expected, rtol=1e-12)

    def test_a_catalogue_smaller_than_the_list_is_enough(self):
        tasks, popularity = tasks_of([(0, 1), (1, 2)], 3), Popularity(np.array([0, -1, -2], dtype=np.float32))
        scores = mixed_headline(Fixed(np.zeros((2, 3), dtype=np.float32)), popularity, (1.0,), tasks, 1)
        assert scores == pytest.approx((1 + 1 / np.log2(3)) / 2)

    def test_masking_does_not_change_the_scores_of_the_model(self):
        scores = np.ones((1, 3), dtype=np.float32)
        mixed_headline(Fixed(scores), Popularity(np.zeros(3, dtype=np.float32)), (1.0,), tasks_of([(0, 1)], 3), 1)
        assert (scores == 1).all()
