import numpy as np
from likes import DISLIKED, LIKED, LIKED_AT_LEAST, liked_of, support_of

from model_store.baselines.item_item import ItemItem
from model_store.baselines.popularity import ByShots, Popularity, WithPopularity, liked_matrix


def test_only_liked_events_of_the_support_count():
    support = support_of([(2, LIKED), (1, DISLIKED), (0, LIKED_AT_LEAST)], [])
    assert liked_matrix(support, LIKED_AT_LEAST, 4).toarray().tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_padding_is_not_an_event_even_if_every_value_counts_as_liked():
    assert liked_matrix(support_of([(1, 0.0), (2, 0.0)], [(2, 0.0)]), 0.0, 3).toarray().tolist() == [
        [0, 1, 1],
        [0, 0, 1],
    ]


def test_popularity_is_the_log_of_smoothed_likes_for_every_user():
    popularity = Popularity.fit(liked_of([0], [0, 1], [0], n_items=3))
    expected = np.log([(3 + 1) / 4, (1 + 1) / 4, (0 + 1) / 4])
    np.testing.assert_allclose(popularity.score(support_of([(1, LIKED)], [])), [expected, expected], rtol=1e-6)


def test_every_k_has_a_candidate():
    popularity = Popularity(np.zeros(2, dtype=np.float32))
    model = ItemItem(np.array([[0, 1], [1, 0]], dtype=np.float32), np.arange(2), 2, LIKED_AT_LEAST)
    by_shots = ByShots({k: WithPopularity(model, popularity, beta) for k, beta in {0: 1.0, 1: 2.0, 3: 4.0}.items()})
    event = (0, LIKED)
    for shots, beta in ((1, 2.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        score = by_shots.score(support_of([event] * shots))
        assert score.tolist() == [[0, beta * shots]]
    assert by_shots.score(support_of([])).tolist() == [[0, 0]]
