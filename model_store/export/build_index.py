"""The index of an approximate bundle: built, tuned and proven on users whom training never saw.

The best items for a user are those of the largest inner product with ``user_state``, the popularity prior being one of
the columns. faiss's inverted file would deal items to cells by the angle, lose what norm and prior say, and take four
times as long for the same recall; graphs of neighbours (HNSW) stay below .96 at whatever effort, since inner products
are no distances (``loadtests/first_stages.py``). So cells are those of a plain k-means, by distance, and are probed in
the order of what their mean scores: the cells whose items score best on average come first.

The number of cells to probe is the smallest power of two that finds enough for one half of the held-out users; the
other half decides whether the bundle is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Graphs, RankRequest, Runtime, Support, exclusion
from model_store.bundle.candidates import INDEX_FILE, import_faiss
from model_store.bundle.items import Catalogue
from model_store.data.episodes import pack_support
from model_store.data.schema import Dataset
from model_store.data.split import split_users
from model_store.errors import ExportRefused

# Items from which on reading the whole catalogue takes more than 10 ms a list.
WORTHWHILE_FROM = 2_000_000
RECALL_AT = 20
MIN_RECALL = 0.99
# What is tuned on some users is a little worse for others.
TUNED_RECALL = 0.995
SHOTS = (0, 1, 3, 5, 10, 20, 50)
MAX_USERS = 100
# Beyond this share of the cells an exact scan is as fast; where there are few cells, that does not matter.
MAX_PROBED = 1 / 8
MIN_PROBED = 16
# Of so many items each cell is learned; of fewer than 39 faiss warns.
POINTS_A_CELL = 40
TIES = 1e-4

Float = NDArray[np.float32]


def cells_for(n_items: int) -> int:
    """How many cells: about 6 √n, a power of two, few enough that each can be learned.

    For the same recall, twice as many leave half as many items to be read, until their means cost as much.
    """
    by_root, by_points = round(np.log2(6 * np.sqrt(n_items))), int(np.log2(n_items / POINTS_A_CELL + 1))
    return int(2 ** max(0, min(by_root, by_points)))


def build_index(path: Path, vectors: Float, seed: int) -> None:
    """Deal ``vectors`` float32 (n_items, state_dim) to cells and write the index; it probes one cell."""
    faiss = import_faiss()
    n_items, dim = vectors.shape
    vectors = np.ascontiguousarray(vectors)
    rng = np.random.default_rng(seed)
    clustering = faiss.Kmeans(dim, cells_for(n_items), niter=10, seed=seed, max_points_per_centroid=POINTS_A_CELL)
    sample = np.sort(rng.permutation(n_items)[: POINTS_A_CELL * clustering.k])
    clustering.train(vectors[sample])
    _, cells = clustering.assign(vectors)
    means = faiss.IndexFlatIP(dim)
    means.add(clustering.centroids)
    eight_bits = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(means, dim, clustering.k, eight_bits, faiss.METRIC_INNER_PRODUCT, False)  # noqa: FBT003 - faiss takes no names
    index.train(vectors[sample])
    index.add_core(n_items, faiss.swig_ptr(vectors), None, faiss.swig_ptr(cells))
    faiss.write_index(index, str(path))


def tune_index(folder: Path, dataset: Dataset, seed: int) -> dict[str, float]:
    """Set how many cells of the bundle in ``folder`` are probed, and judge it.

    Args:
        folder: the draft with its graphs, arrays and index.
        dataset: its validation users are the held-out ones.
        seed: of the split.

    Returns:
        For the report: cells, how many of them are probed, and recall@20 against the exact scores.

    Raises:
        ExportRefused: the index misses too much, whatever is probed; an exact bundle is what is left.
    """
    runtime = Runtime(Graphs(folder), Catalogue(folder))
    index = runtime.graphs.index
    if index is None:
        raise ExportRefused(f"{folder}: score.onnx takes no candidates, expected one for an index")
    users = split_users(dataset.events.n_users, seed).validation[:MAX_USERS]
    tuning, judging = (
        [_request(runtime, support) for support in _supports(dataset, cohort)] for cohort in (users[::2], users[1::2])
    )
    for probed in _probes(index.cells):
        index.probed = probed
        if _recall(runtime, tuning) >= TUNED_RECALL:
            break
    recall = _recall(runtime, judging)
    measures = {"cells": index.cells, "probed": index.probed, f"recall@{RECALL_AT}": recall}
    if recall < MIN_RECALL:
        raise ExportRefused(
            f"{INDEX_FILE}: recall@{RECALL_AT} for held-out users is {recall:.4f} with {measures['probed']} of "
            f"{measures['cells']} cells probed, expected at least {MIN_RECALL}; train with --index exact"
        )
    _keep_probed(folder / INDEX_FILE, index.probed)
    return measures


def _probes(cells: int) -> list[int]:
    """Numbers of cells to try, increasing."""
    most = min(cells, max(MIN_PROBED, int(cells * MAX_PROBED)))
    return [*(2**power for power in range((most - 1).bit_length())), most]


def _keep_probed(path: Path, probed: int) -> None:
    """Write the number into the file; whoever maps the old one keeps it."""
    faiss = import_faiss()
    index, written = faiss.read_index(str(path)), path.with_suffix(".tuned")
    index.nprobe = probed
    faiss.write_index(index, str(written))
    written.replace(path)


class _JudgedRequest(NamedTuple):
    """A held-out user's request, and the score of the last item of the exact list."""

    request: RankRequest
    edge: float


def _supports(dataset: Dataset, users: NDArray[np.int64]) -> Iterator[Support]:
    """The first events of each user, for every k up to what there are."""
    events = dataset.events
    for user, length in zip(users, events.lengths()[users], strict=True):
        start = int(events.indptr[user])
        for shots in [count for count in SHOTS if count <= length]:
            yield pack_support(events, [np.arange(start, start + shots)], np.array([user]))


def _request(runtime: Runtime, support: Support) -> _JudgedRequest:
    """A request as a service makes it: the items of the events are excluded."""
    (user,) = support.users()
    request = RankRequest(runtime.adapt([user])[0], user, exclusion(user.rows), RECALL_AT)
    (exact,) = runtime.exact_scores([request])
    return _JudgedRequest(request, float(np.partition(exact, -RECALL_AT)[-RECALL_AT]))


def _recall(runtime: Runtime, judged: list[_JudgedRequest]) -> float:
    """Mean recall@20; of items that tie for the last position any is right."""
    lists = runtime.rank([request for request, _ in judged])
    hits = [
        sum(score >= edge - TIES * max(1, abs(edge)) for score in ranked.scores)
        for ranked, (_, edge) in zip(lists, judged, strict=True)
    ]
    return float(np.mean(hits)) / RECALL_AT
