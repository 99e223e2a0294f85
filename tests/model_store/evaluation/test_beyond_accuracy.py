import numpy as np
import pytest
import scipy.sparse as sp
from scipy.spatial.distance import pdist

from model_store.data.schema import Events, ItemFeatures
from model_store.evaluation import beyond_accuracy as beyond
from model_store.evaluation.protocol import KShot, Tasks, evaluate, judge


def test_diversity_by_hand():
    half = np.sqrt(1 / 2)
    features = sp.csr_array([[1, 0], [0, 1], [half, half], [1, 0], [0, 0]])
    top = np.array([[0, 3, 1], [0, 1, 4], [0, 2, 1]])
    np.testing.assert_allclose(beyond.intra_list_diversity(top, features, 2), [0, 1, 1 - half], atol=1e-12)
    # Two equal and one different; three different, one of them without features; two orthogonal with one between.
    expected = [2 / 3, 1, (1 + 2 * (1 - half)) / 3]
    np.testing.assert_allclose(beyond.intra_list_diversity(top, features, 3), expected, atol=1e-12)


def test_diversity_is_the_mean_cosine_distance_of_scipy():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 7))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    top = np.stack([rng.permutation(50)[:10] for _ in range(20)])
    expected = [pdist(features[row], "cosine").mean() for row in top]
    np.testing.assert_allclose(beyond.intra_list_diversity(top, sp.csr_array(features), 10), expected)


def test_a_list_of_one_item_has_diversity_1():
    assert beyond.intra_list_diversity(np.array([[0]]), sp.csr_array([[1.0]]), 10) == pytest.approx(1)


def test_self_information_by_hand():
    bits = beyond.self_information(np.array([7.0, 3, 1, 0]), n_users=7)
    np.testing.assert_allclose(bits, [0, 1, 2, 3])
    np.testing.assert_allclose(beyond.novelty(np.array([[0, 3, 2], [1, 1, 3]]), bits, 2), [1.5, 1])


@pytest.mark.parametrize(
    ("likes", "tail"),
    [
        ([1, 8, 1], [True, False, True]),  # 8 of 10 are 80% to the point
        ([7, 1, 2], [False, True, False]),  # 7 fall short, so the next one is needed
        ([2, 2, 2, 2, 2], [False, False, False, False, True]),
        ([5, 0], [False, True]),
    ],
)
def test_the_head_is_the_fewest_items_that_hold_most_likes(likes, tail):
    assert beyond.long_tail(np.array(likes, dtype=np.float64)).tolist() == tail


def test_long_tail_share_by_hand():
    tail = np.array([False, True, True])
    shares = beyond.long_tail_share(np.array([[0, 1, 2], [2, 1, 0]]), tail, 2)
    np.testing.assert_allclose(shares, [1 / 2, 1])


def test_long_tail_ndcg_by_hand():
    """The first user likes one item of the head and two of the tail, the second only one of the head."""
    tail = np.array([False, False, True, True, True])
    top = np.array([[0, 2, 4, 3], [0, 1, 2, 3]])
    queries = [np.array([0, 2, 3]), np.array([0])]
    ideal = 1 + 1 / np.log2(3)
    ndcg = beyond.long_tail_ndcg(top, queries, tail, 4)
    np.testing.assert_allclose(ndcg, [(1 / np.log2(3) + 1 / np.log2(5)) / ideal])
    np.testing.assert_allclose(beyond.long_tail_ndcg(top, queries, tail, 3), [1 / np.log2(3) / ideal])
    assert beyond.long_tail_ndcg(top[1:], queries[1:], tail, 4).shape == (0,)


def test_long_tail_ndcg_is_ndcg_if_all_items_are_tail():
    rng = np.random.default_rng(0)
    top = np.stack([rng.permutation(30)[:10] for _ in range(8)])
    queries = [rng.permutation(30)[:5].astype(np.int32) for _ in range(8)]
    tasks = Tasks(KShot((0, 1), 2), None, np.arange(8), queries, [np.zeros(0, np.int32)] * 8, 30)
    expected = judge(top, tasks).per_user["ndcg@10"]
    np.testing.assert_allclose(beyond.long_tail_ndcg(top, queries, np.ones(30, np.bool_), 10), expected)


NO_EVENTS = Events(np.array([0, 0]), np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0))


@pytest.mark.parametrize(("query", "expected"), [([0, 3], 1 / np.log2(3)), ([0], None)])
def test_the_long_tail_is_ranked_by_itself(query, expected):
    """The head 0 and 1 scores highest; of the tail, 2 is before 3, and the masked 4 before both."""
    tasks = Tasks(KShot((0,), 1), NO_EVENTS, np.arange(1), [np.array(query)], [np.array([4])], 5)
    facts = beyond.ItemFacts(None, np.zeros(5), np.array([False, False, True, True, True]))

    class Fixed:
        def score(self, support):
            return np.tile(np.array([9, 8, 2, 1, 7], np.float32), (len(support.rows), 1))

    ndcg = evaluate(Fixed(), tasks, facts=facts)[0].per_user.get("ndcg-tail@10")
    assert ndcg == (expected if expected is None else pytest.approx(expected))


def features_of(*rows: list[int], n_features: int = 2) -> ItemFeatures:
    indices = np.array([feature for row in rows for feature in row], dtype=np.int64)
    weights = np.array([len(row) ** -0.5 for row in rows for _ in row], dtype=np.float32)
    names = [f"f{number}" for number in range(n_features)]
    return ItemFeatures(names, np.cumsum([0, *map(len, rows)]), indices, weights)


LIKES = sp.csr_array(np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]], dtype=np.float32))


def test_the_facts_of_the_items_come_from_content_and_training_users():
    judged = beyond.ItemFacts.of(features_of([0], [1], [0, 1]), LIKES).judge(np.array([[0, 2], [0, 1]]))
    np.testing.assert_allclose(judged["diversity@10"], [1 - np.sqrt(1 / 2), 1])
    np.testing.assert_allclose(judged["novelty@10"], [1 / 2, 1])
    # Three of four likes are not 80%, so item 2 is of the head too.
    np.testing.assert_allclose(judged["long-tail@10"], [0, 1 / 2])


def test_without_features_there_is_no_diversity():
    facts = beyond.ItemFacts.of(features_of([], [], [], n_features=0), LIKES)
    assert set(facts.judge(np.array([[0, 2]]))) == {"novelty@10", "long-tail@10"}


def test_a_judgement_has_them_if_there_are_facts():
    tasks = Tasks(KShot((0, 1), 2), None, np.arange(1), [np.array([2])], [np.array([1])], 3)
    top = np.array([[0, 2]])
    facts = beyond.ItemFacts.of(features_of([0], [1], [0, 1]), LIKES)
    assert set(judge(top, tasks, facts).per_user) - set(judge(top, tasks).per_user) == set(facts.judge(top))
    assert judge(top, tasks, facts).summary()["novelty@10"].interval
