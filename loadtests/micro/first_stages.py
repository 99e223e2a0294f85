"""Approximate first stages beside each other: recall, milliseconds a user, seconds to build.

    python -m loadtests.micro.first_stages                    100,000 synthetic items
    python -m loadtests.micro.first_stages --items 1000000

Each is asked for 64 candidates for users with a few events; a recall of 1 means that these hold the exact best
twenty. usearch is no dependency of kshot and takes part where it is installed. JSON goes to standard output.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.kit.machine import provenance
from loadtests.worlds.bundles import KINDS, KINDS_OF_A_USER, synthetic_bundle
from model_store.bundle import Bundle, Registry, open_bundle
from model_store.bundle.candidates import Index, import_faiss
from model_store.export.build_index import build_index, cells_for

LIST_LENGTH, CANDIDATES, USERS = 20, 64, 200
PROBES = (8, 16, 32, 64, 128)
EFFORTS = (64, 128, 256, 512)
LINKS, EFFORT_TO_BUILD = 16, 64

Float = NDArray[np.float32]
# Candidates of one user, (1, state_dim) → (CANDIDATES,).
Search = Callable[[Float], NDArray[np.int64]]
# Effort → a search with it.
Stage = dict[str, Search]


def by_distance(vectors: Float) -> Stage:
    """The index of a bundle: cells of a plain k-means, probed by what their mean scores."""
    with tempfile.TemporaryDirectory() as folder:
        build_index(Path(folder) / "index", vectors, seed=0)
        index = Index(Path(folder) / "index")

    def probing(cells: int) -> Search:
        def search(state: Float) -> NDArray[np.int64]:
            index.probed = cells
            rows, _ = index.search(state, CANDIDATES)
            found: NDArray[np.int64] = rows[0]
            return found

        return search

    return {f"{cells} cells": probing(cells) for cells in PROBES}


def by_angle(vectors: Float) -> Stage:
    """Faiss's inverted file for inner products as it comes: cells by the angle."""
    faiss = import_faiss()
    index = faiss.index_factory(vectors.shape[1], f"IVF{cells_for(len(vectors))},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    return {f"{cells} cells": _faiss(index, faiss.SearchParametersIVF(nprobe=cells)) for cells in PROBES}


def faiss_hnsw(vectors: Float) -> Stage:
    """Faiss's graph of neighbours, 8 bits."""
    faiss = import_faiss()
    index = faiss.index_factory(vectors.shape[1], f"HNSW{LINKS},SQ8", faiss.METRIC_INNER_PRODUCT)
    faiss.downcast_index(index).hnsw.efConstruction = EFFORT_TO_BUILD
    index.train(vectors)
    index.add(vectors)
    return {f"ef {effort}": _faiss(index, faiss.SearchParametersHNSW(efSearch=effort)) for effort in EFFORTS}


def usearch_hnsw(vectors: Float) -> Stage:
    """Usearch's graph of neighbours, half floats; nothing where it is not installed."""
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
        found: NDArray[np.int64] = index.search(state, CANDIDATES, params=effort)[1][0]
        return found

    return search


def states_of(bundle: Bundle, rng: np.random.Generator) -> Iterator[Float]:
    """States float32 (1, state_dim) of users with 1 to 30 events on popular items of a few kinds."""
    values = float(bundle.manifest.feedback.value_max)
    for _ in range(USERS):
        shots = int(rng.integers(1, 30, endpoint=True))
        kinds = rng.choice(rng.integers(0, KINDS, KINDS_OF_A_USER), shots)
        rows = kinds + KINDS * ((len(bundle.catalogue) // KINDS) ** rng.random(shots)).astype(np.int64)
        rows = np.minimum(rows, len(bundle.catalogue) - 1)
        ones = np.ones((1, shots), np.float32)
        yield bundle.graphs.adapt(bundle.catalogue.vectors[rows[None]], values * ones, 0 * ones, ones)


def measure(bundle: Bundle) -> list[dict[str, Any]]:
    """Every first stage at every effort."""
    vectors = np.ascontiguousarray(bundle.catalogue.vectors)
    states = list(states_of(bundle, np.random.default_rng(0)))
    exact = [np.argpartition(-(vectors @ state[0]), LIST_LENGTH)[:LIST_LENGTH] for state in states]
    rows = []
    for build in (by_distance, by_angle, faiss_hnsw, usearch_hnsw):
        started = time.perf_counter()
        stage, built_s = build(vectors), time.perf_counter() - started
        for effort, search in stage.items():
            row = {"stage": build.__name__, "effort": effort, "built_s": round(built_s, 1)}
            rows.append(row | _asked(search, states, exact))
    return rows


def _asked(search: Search, states: list[Float], exact: list[NDArray[np.int64]]) -> dict[str, float]:
    taken, found = [], []
    for state, best in zip(states, exact, strict=True):
        started = time.perf_counter()
        candidates = search(state)
        taken.append(time.perf_counter() - started)
        found.append(np.isin(best, candidates).mean())
    return {"recall@20": round(float(np.mean(found)), 4), "ms": round(float(np.median(taken)) * 1e3, 3)}


def main() -> None:
    """Measure on a synthetic catalogue."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    items = parser.parse_args().items
    with tempfile.TemporaryDirectory(prefix="kshot-first-stages-") as folder:
        bundle = open_bundle(Registry(synthetic_bundle(Path(folder), items, 0)).live_folder())
        print(json.dumps(provenance() | {"items": items, "stages": measure(bundle)}, indent=2))


if __name__ == "__main__":
    main()
