"""Beyond accuracy: how varied, how novel and how far from the mainstream a list is.

``top``: int64 (n_users, depth), rows of everybody's list, best first. The metrics return float64 (n_users,). They
describe a list without looking at the query and do not grade it: random lists are the most varied, novel and obscure.
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

    With vectors of norm 1 or 0, Σ_{i ≠ j} cos(f_i, f_j) = |Σ f_i|² − Σ |f_i|². An item without features is like no
    other: its pairs count 1.

    Args:
        top: everybody's list.
        features: (n_items, n_features), rows with an L2 norm of 1, or 0 for an item without features.
        at: places to read.
    """
    shown = top[:, :at]
    n_users, length = shown.shape
    picks = sp.csr_array(
        (np.ones(shown.size), shown.ravel(), np.arange(0, shown.size + 1, length)), shape=(n_users, features.shape[0])
    )
    sums = picks @ features
    own = picks @ features.multiply(features).sum(1)
    alike = sums.multiply(sums).sum(1) - own
    return np.asarray(1 - alike / max(length * (length - 1), 1))


def self_information(likes: NDArray[np.float64], n_users: int) -> NDArray[np.float64]:
    """−log2 p_i in bits, (n_items,), p_i = (n_i + 1) / (n_users + 1): how much it says that somebody likes the item.

    Args:
        likes: (n_items,), training users that liked the item, n_i; the 1 keeps items without likes finite.
        n_users: how many training users there are.
    """
    return np.asarray(np.log2(n_users + 1) - np.log2(likes + 1))


def novelty(top: Top, information: NDArray[np.float64], at: int) -> PerUser:
    """Mean self-information of the first ``at`` items, in bits.

    Zhou et al. 2010 (PNAS 107), "surprisal"; Vargas & Castells 2011, popularity-based item novelty without discount.
    """
    return np.asarray(information[top[:, :at]].mean(1))


def long_tail(likes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which items are outside the head, (n_items,): the fewest items that hold 80% of all likes."""
    order = np.argsort(-likes, kind="stable")
    before = np.cumsum(likes[order]) - likes[order]
    tail = np.empty(len(likes), dtype=np.bool_)
    tail[order] = before >= HEAD_SHARE * likes.sum()
    return tail


def long_tail_share(top: Top, tail: NDArray[np.bool_], at: int) -> PerUser:
    """Share of the first ``at`` items that are of the long tail.

    Its mean is APLT, the average percentage of long-tail items (Abdollahpouri, Burke & Mobasher 2019,
    arXiv:1901.07555), with head and tail told apart by the 80/20 rule.
    """
    return np.asarray(tail[top[:, :at]].mean(1))


def long_tail_ndcg(top: Top, queries: list[NDArray[np.int32]], tail: NDArray[np.bool_], at: int) -> PerUser:
    """NDCG@``at`` of the long tail by itself, where the head is neither ranked nor asked for.

    DCG = Σ_{r ≤ at} [top_r ∈ query ∩ tail] / log2(r + 1) over that of min(at, |query ∩ tail|) hits at the top, as in
    ``metrics.ndcg``; without the popular items, as Cremonesi, Koren & Turrin 2010 (RecSys) test the long tail.
    Among all items the tail hardly gets into a list of ten, whatever is known about it. Of the metrics here this one
    alone looks at the query, and grades.

    Args:
        top: everybody's best items of the tail.
        queries: rows of what each user liked, of head and tail.
        tail: bool (n_items,).
        at: places to read.

    Returns:
        Float64 (n_asked,): users whose query holds nothing of the tail are left out, so it may be empty.
    """
    asked = [(row, query[tail[query]]) for row, query in zip(top, queries, strict=True) if tail[query].any()]
    if not asked:
        return np.zeros(0)
    hits = np.stack([np.isin(row[:at], query) for row, query in asked])
    return metrics.ndcg(hits, np.array([len(query) for _, query in asked], dtype=np.int64), at)


@dataclass(frozen=True)
class ItemFacts:
    """What the metrics need to know of the items.

    Attributes:
        features: (n_items, n_features) with rows of norm 1 or 0, or None where no item has any.
        information: float64 (n_items,), self-information in bits.
        tail: bool (n_items,), which items are of the long tail.
    """

    features: sp.csr_array | None
    information: NDArray[np.float64]
    tail: NDArray[np.bool_]

    @classmethod
    def of(cls, features: ItemFeatures, liked: sp.csr_array) -> ItemFacts:
        """Gather them from content and from what the training users liked, (n_users, n_items)."""
        n_users, n_items = liked.shape
        likes = np.asarray(liked.sum(0), dtype=np.float64).ravel()
        entries = features.weights.astype(np.float64), features.indices, features.indptr
        content = sp.csr_array(entries, shape=(n_items, len(features.names))) if len(features.indices) else None
        return cls(content, self_information(likes, n_users), long_tail(likes))

    def judge(self, top: Top) -> dict[str, PerUser]:
        """All metrics of everybody's list; the diversity is left out where no item has features."""
        found = {
            "novelty@10": novelty(top, self.information, 10),
            "long-tail@10": long_tail_share(top, self.tail, 10),
        }
        if self.features is not None:
            found["diversity@10"] = intra_list_diversity(top, self.features, 10)
        return found
