"""Libraries for the first stage of an approximate bundle: recall, time per user, time to build.

    python -m loadtests first-stages                    100,000 synthetic items
    python -m loadtests first-stages --items 1000000

Every library returns 64 candidates for users with a few events. A recall of 1 means that the candidates contain the
exact best twenty. usearch takes part if it is installed; kshot does not depend on it.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.kit.cli import LoadTest, Result
from loadtests.kit.tables import markdown
from loadtests.worlds.bundle_folders import live_bundle, synthetic_folder
from loadtests.worlds.bundles import KINDS, KINDS_PER_USER
from model_store.bundle import Bundle, UserSupport
from model_store.bundle.candidates import Index, import_faiss
from model_store.export.build_index import build_index, cells_for

LIST_LENGTH, CANDIDATES, USERS = 20, 64, 200
PROBES = (8, 16, 32, 64, 128)
EFFORTS = (64, 128, 256, 512)
LINKS, EFFORT_TO_BUILD = 16, 64

Float = NDArray[np.float32]
# User state (1, state_dim) → candidate rows (CANDIDATES,).
Search = Callable[[Float], NDArray[np.int64]]
# Effort of a search → the search.
Stage = dict[str, Search]


def by_distance(vectors: Float) -> Stage:
    """The first stage of a bundle: cells of a plain k-means, probed in the order of their mean's score."""
    with tempfile.TemporaryDirectory() as folder:
        build_index(Path(folder) / "index", vectors, seed=0)
        index = Index(Path(folder) / "index")

    def probing(cells: int) -> Search:
        def search(state: Float) -> NDArray[np.int64]:
            index.probed = cells
            rows, _ = index.search(state, CANDIDATES)
            candidates: NDArray[np.int64] = rows[0]
            return candidates

        return search

    return {f"{cells} cells": probing(cells) for cells in PROBES}


def by_angle(vectors: Float) -> Stage:
    """Faiss's inverted file for inner products: cells by angle."""
    faiss = import_faiss()
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells_for(len(vectors))},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return {f"{cells} cells": _faiss(index, faiss.SearchParametersIVF(nprobe=cells)) for cells in PROBES}


def faiss_hnsw(vectors: Float) -> Stage:
    """Faiss's neighbour graph with 8-bit vectors."""
    faiss = import_faiss()
    index = faiss.index_factory(vectors.shape[1], f"HNSW{LINKS},SQ8", faiss.METRIC_INNER_PRODUCT)
    faiss.downcast_index(index).hnsw.efConstruction = EFFORT_TO_BUILD
    index.train(vectors)
    index.add(vectors)
    return {f"ef {effort}": _faiss(index, faiss.SearchParametersHNSW(efSearch=effort)) for effort in EFFORTS}


def usearch_hnsw(vectors: Float) -> Stage:
    """Usearch's neighbour graph with half floats; empty if usearch is not installed."""
    try:
        usearch: Any = importlib.import_module("usearch.index")
    except ModuleNotFoundError:
        return {}
    graph = usearch.Index(
        ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=LINKS, expansion_add=EFFORT_TO_BUILD
    )
    graph.add(np.arange(len(vectors)), vectors)

    def searching(effort: int) -> Search:
        def search(state: Float) -> NDArray[np.int64]:
            graph.expansion_search = effort
            return np.asarray(graph.search(state[0], CANDIDATES).keys).astype(np.int64)

        return search

    return {f"ef {effort}": searching(effort) for effort in EFFORTS}


def _faiss(index: Any, effort: Any) -> Search:
    def search(state: Float) -> NDArray[np.int64]:
        candidates: NDArray[np.int64] = index.search(state, CANDIDATES, params=effort)[1][0]
        return candidates

    return search


def states_of(bundle: Bundle, rng: np.random.Generator) -> Iterator[Float]:
    """User states float32 (1, state_dim) after 1 to 30 events on popular items of a few kinds."""
    value = bundle.manifest.feedback.value_max
    for _ in range(USERS):
        shots = int(rng.integers(1, 30, endpoint=True))
        kinds = rng.choice(rng.integers(0, KINDS, KINDS_PER_USER), shots)
        rows = kinds + KINDS * ((len(bundle.catalogue) // KINDS) ** rng.random(shots)).astype(np.int64)
        rows = np.minimum(rows, len(bundle.catalogue) - 1)
        support = UserSupport.encode(rows, np.full(shots, value, np.float32), np.zeros(shots))
        yield bundle.runtime.adapt([support])


def measure(options: argparse.Namespace) -> Result:
    """Measure all libraries on a synthetic catalogue."""
    with tempfile.TemporaryDirectory(prefix="kshot-first-stages-") as scratch:
        folder = synthetic_folder(options.keep or Path(scratch), options.items)
        return {"items": options.items, "stages": measure_stages(live_bundle(folder))}


def table(result: Result) -> str:
    """All stages as a Markdown table."""
    rows = [[row["stage"], row["effort"], row["built_s"], row["recall@20"], row["ms"]] for row in result["stages"]]
    return markdown(["first stage", "effort", "built in s", "recall@20", "ms per user"], rows)


def measure_stages(bundle: Bundle) -> list[dict[str, Any]]:
    """Recall and time of every first stage at every effort."""
    vectors = np.ascontiguousarray(bundle.catalogue.vectors)
    states = list(states_of(bundle, np.random.default_rng(0)))
    exact = [np.argpartition(-(vectors @ state[0]), LIST_LENGTH)[:LIST_LENGTH] for state in states]
    rows = []
    for build in (by_distance, by_angle, faiss_hnsw, usearch_hnsw):
        started = time.perf_counter()
        stage, built_s = build(vectors), time.perf_counter() - started
        for effort, search in stage.items():
            row = {"stage": build.__name__, "effort": effort, "built_s": round(built_s, 1)}
            rows.append(row | _figures(search, states, exact))
    return rows


def _figures(search: Search, states: list[Float], exact: list[NDArray[np.int64]]) -> dict[str, float]:
    times, shares = [], []
    for state, best in zip(states, exact, strict=True):
        started = time.perf_counter()
        candidates = search(state)
        times.append(time.perf_counter() - started)
        shares.append(np.isin(best, candidates).mean())
    return {"recall@20": round(float(np.mean(shares)), 4), "ms": round(float(np.median(times)) * 1e3, 3)}


LOAD_TEST = LoadTest(measure, table, {"items": 100_000, "keep": None}, smoke={"items": 5_000})
