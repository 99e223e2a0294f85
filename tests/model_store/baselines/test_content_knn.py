from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from likes import LIKED, LIKED_AT_LEAST, support_of

from model_store.baselines.content_knn import ContentKNN, content_matrix, idf_weighted
from model_store.data.schema import ItemFeatures


def test_scores_by_hand():
    half = np.sqrt(1 / 2, dtype=np.float32)
    features = sp.csr_array(np.array([[1, 0], [half, half], [0, 1], [0, 0]], dtype=np.float32))
    squared = ContentKNN(features, np.array([1, 2, 3]), power=2, shrinkage=0, liked_at_least=LIKED_AT_LEAST)
    np.testing.assert_allclose(squared.score(support_of([(0, LIKED)])), [[0, 1 / 2, 0, 0]], rtol=1e-6)
    both = support_of([(0, LIKED), (2, LIKED)])
    np.testing.assert_allclose(squared.score(both), [[0, 1, 1, 0]], rtol=1e-6)
    shrunk = replace(squared, power=1, shrinkage=3)
    np.testing.assert_allclose(shrunk.score(support_of([(1, LIKED)])), [[0, 2 / 5, half / 4, 0]], rtol=1e-6)


def test_rare_features_count_more_and_rows_keep_unit_norm():
    half = np.sqrt(1 / 2)
    weighted = idf_weighted(sp.csr_array([[half, half], [1, 0], [0, 0]])).toarray()
    expected = np.array([np.log(3 / 2), np.log(3)]) / np.hypot(np.log(3 / 2), np.log(3))
    np.testing.assert_allclose(weighted, [expected, [1, 0], [0, 0]])


def test_the_content_matrix_has_a_row_per_item_and_a_column_per_feature():
    features = ItemFeatures(
        ["a", "b"], np.array([0, 1, 1, 3]), np.array([1, 0, 1]), np.array([1, 0.6, 0.8], np.float32)
    )
    np.testing.assert_allclose(content_matrix(features).toarray(), [[0, 1], [0, 0], [0.6, 0.8]], rtol=1e-6)
