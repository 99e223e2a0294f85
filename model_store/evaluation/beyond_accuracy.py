"""Beyond accuracy: diversity, novelty and long-tail share of lists.

``top``: int64 (n_users, depth), rows of each user's list, best first. The metrics return float64 (n_users,). They
describe a list without reading the query and do not grade it: random lists are the most diverse and the most novel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from model_store.data.schema import ItemFeatures
from model_store.evaluation import metrics

Top = NDArray[np.int64]
PerUser = NDArray[np.float64]

HEAD_SHARE = 0.8


def intra_list_diversity(top: Top, features: sp.csr_array, at: int) -> PerUser:
    """Mean of 1 − cos(f_i, f_j) over the pairs of the first ``at`` items (Smyth & McClave 2001; Ziegler et al. 2005).

    With vectors of norm 1 or 0, Σ_{i ≠ j} cos(f_i, f_j) = |Σ f_i|² − Σ |f_i|². The pairs of an item
    without features count 1.

    Args:
        top: lists.
        features: (n_items, n_features), rows with an L2 norm of 1, or 0 for an item without features.
        at: positions to read.
    """
    lists = top[:, :at]
    n_users, length = lists.shape
    indptr = np.arange(0, lists.size + 1, length)
    listed = sp.csr_array((np.ones(lists.size), lists.ravel(), indptr), shape=(n_users, features.shape[0]))
    sums = listed @ features
    squares = listed @ features.multiply(features).sum(1)
    similarity = sums.multiply(sums).sum(1) - squares
    return np.asarray(1 - similarity / max(length * (length - 1), 1))


def self_information(likes: NDArray[np.float64], n_users: int) -> NDArray[np.float64]:
    """Information of a like in bits, −log2 p_i with p_i = (n_i + 1) / (n_users + 1), (n_items,).

    Args:
        likes: (n_items,), n_i, training users that liked the item; the 1 keeps items without likes finite.
        n_users: number of training users.
    """
    return np.asarray(np.log2(n_users + 1) - np.log2(likes + 1))


def novelty(top: Top, information: NDArray[np.float64], at: int) -> PerUser:
    """Mean self-information of the first ``at`` items, in bits.

    Zhou et al. 2010 (PNAS 107), "surprisal"; Vargas & Castells 2011, popularity-based item novelty without discount.
    """
    return np.asarray(information[top[:, :at]].mean(1))


def long_tail(likes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Items outside the head, (n_items,); the head is the fewest items that hold 80% of all likes."""
    order = np.argsort(-likes, kind="stable")
    before = np.cumsum(likes[order]) - likes[order]
    tail = np.empty(len(likes), dtype=np.bool_)
    tail[order] = before >= HEAD_SHARE * likes.sum()
    return tail


def long_tail_share(top: Top, tail: NDArray[np.bool_], at: int) -> PerUser:
    """Share of long-tail items among the first ``at``.

    Its mean is APLT, the average percentage of long-tail items (Abdollahpouri, Burke & Mobasher 2019,
    arXiv:1901.07555), with head and tail divided by the 80/20 rule.
    """
    return np.asarray(tail[top[:, :at]].mean(1))


def long_tail_ndcg(top: Top, queries: list[NDArray[np.int32]], tail: NDArray[np.bool_], at: int) -> PerUser:
    """NDCG@``at`` of the long tail by itself: the head is left out of lists and queries.

    DCG = Σ_{r ≤ at} [top_r ∈ query ∩ tail] / log2(r + 1) over that of min(at, |query ∩ tail|) hits at the top, as in
    ``metrics.ndcg``; without the popular items, as Cremonesi, Koren & Turrin 2010 (RecSys) test the long tail.
    Among all items, the tail hardly reaches a list of ten. Of the metrics here, only this one reads the query and
    grades the list.

    Args:
        top: each user's best items of the tail.
        queries: per user, rows of the liked items, of head and tail.
        tail: bool (n_items,).
        at: positions to read.

    Returns:
        Float64 (n,): users without a tail item in their query are left out, so it may be empty.
    """
    pairs = [(rows, query[tail[query]]) for rows, query in zip(top, queries, strict=True) if tail[query].any()]
    if not pairs:
        return np.zeros(0)
    hits = np.stack([np.isin(rows[:at], query) for rows, query in pairs])
    return metrics.ndcg(hits, np.array([len(query) for _, query in pairs], dtype=np.int64), at)


@dataclass(frozen=True)
class ItemFacts:
    """Content and popularity of the items, for the metrics.

    Attributes:
        features: (n_items, n_features) with rows of norm 1 or 0; None if the items have no features.
        information: float64 (n_items,), self-information in bits.
        tail: bool (n_items,), the items of the long tail.
    """

    features: sp.csr_array | None
    information: NDArray[np.float64]
    tail: NDArray[np.bool_]

    @classmethod
    def of(cls, features: ItemFeatures, liked: sp.csr_array) -> ItemFacts:
        """Facts from features and from the likes of the training users, (n_users, n_items)."""
        n_users, n_items = liked.shape
        likes = np.asarray(liked.sum(0), dtype=np.float64).ravel()
        entries = features.weights.astype(np.float64), features.indices, features.indptr
        content = sp.csr_array(entries, shape=(n_items, len(features.names))) if len(features.indices) else None
        return cls(content, self_information(likes, n_users), long_tail(likes))

    def judge(self, top: Top) -> dict[str, PerUser]:
        """All metrics of each user's list; diversity only if the items have features."""
        per_user = {
            "novelty@10": novelty(top, self.information, 10),
            "long-tail@10": long_tail_share(top, self.tail, 10),
        }
        if self.features is not None:
            per_user["diversity@10"] = intra_list_diversity(top, self.features, 10)
        return per_user
