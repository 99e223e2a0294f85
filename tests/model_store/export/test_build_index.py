"""Approximate bundles: candidates of the index are scored exactly, and an index with low recall is refused."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from resealed import reseal
from typer.testing import CliRunner

from model_store.bundle import NO_SUPPORT, Addends, Catalogue, Graphs, Registry, exclusion, open_bundle
from model_store.bundle.candidates import INDEX_FILE
from model_store.commands.train import train
from model_store.config import IndexName, TrainingConfig
from model_store.data.schema import Dataset, ItemFeatures
from model_store.data.sources import load
from model_store.errors import BundleDamaged, ExportRefused, LibraryMissing
from model_store.export import write_draft
from model_store.export.build_index import cells_for
from model_store.meta.network import build
from model_store.meta.parts.dense import Dense
from service.scoring.model import BundleModel

SHOTS = (0, 1, 3, 5)
APPROXIMATE = {"index": IndexName.APPROXIMATE}
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_support=60)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


@pytest.fixture(scope="module")
def approximate(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an approximate bundle."""
    registry, config = Registry(tmp_path_factory.mktemp("approximate")), CONFIG.model_copy(update=APPROXIMATE)
    with write_draft(registry, dataset, build(dataset, dataset.events, CONFIG, SHOTS), config) as draft:
        draft.publish(registry, results={})
    return registry.live_folder()


@pytest.mark.parametrize("seed", range(8))
def test_candidates_and_named_rows_are_scored_exactly_and_once(approximate: Path, seed: int) -> None:
    """With all cells probed, so that no item is missed. Several addends name a row; some of them exclude it."""
    graphs, rng = Graphs(approximate), np.random.default_rng(seed)
    vectors = Catalogue(approximate).vectors
    graphs.index.probed = graphs.index.cells
    named, excluded = int(rng.integers(0, 2000)), int(rng.integers(0, 40))
    state = rng.standard_normal(9).astype(np.float32)
    rows = rng.integers(0, 240, named + excluded)
    values = np.concatenate([rng.normal(0, 0.2, named), np.full(excluded, -np.inf)]).astype(np.float32)
    best, scores = graphs.score(state[None], Addends(np.zeros(len(rows), np.int64), rows, values), 20)
    exact = vectors @ state
    np.add.at(exact, rows, values)
    assert len(set(best[0].tolist())) == 20
    np.testing.assert_allclose(scores[0], -np.sort(-exact)[:20], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(scores[0], exact[best[0]], rtol=1e-4, atol=1e-4)


def test_a_list_ends_at_the_excluded_rows(approximate: Path) -> None:
    graphs = Graphs(approximate)
    graphs.index.probed = graphs.index.cells
    rows = np.arange(235)
    excluded = Addends(np.zeros(235, np.int64), rows, np.full(235, -np.inf, np.float32))
    best, scores = graphs.score(np.ones((1, 9), np.float32), excluded, 10)
    assert sorted(best[0, :5].tolist()) == list(range(235, 240))
    assert np.isneginf(scores[0, 5:]).all()


def test_threads_do_not_disturb_one_another(approximate: Path) -> None:
    index = Graphs(approximate).index
    rng = np.random.default_rng(0)
    queries = [(rng.standard_normal((1, 9)).astype(np.float32), rng.integers(0, 240, 3000)) for _ in range(60)]

    def merged(state: np.ndarray, rows: np.ndarray) -> np.ndarray:
        candidates, sums = index.candidates(state, rows, np.ones(len(rows), np.float32), 20)
        return sums[np.argsort(candidates)]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(merged, *zip(*queries, strict=True)))
    for sums, (state, rows) in zip(results, queries, strict=True):
        np.testing.assert_array_equal(sums, merged(state, rows))
        assert sums.sum() == len(rows)


def test_users_of_a_batch_get_the_lists_they_get_alone(approximate: Path) -> None:
    graphs = open_bundle(approximate).graphs
    rng = np.random.default_rng(0)
    states = np.abs(rng.standard_normal((3, 9))).astype(np.float32)
    addends = Addends(rng.integers(0, 3, 50), rng.integers(0, 240, 50), rng.standard_normal(50).astype(np.float32))
    rows, scores = graphs.score(states, addends, 20)
    for user, state in enumerate(states):
        alone = graphs.score(state[None], addends.of(user), 20)
        np.testing.assert_array_equal(rows[user], alone[0][0])
        np.testing.assert_array_equal(scores[user], alone[1][0])


def test_other_rows_replace_excluded_ones(approximate: Path) -> None:
    """All candidates that the index returns first are excluded."""
    bundle = open_bundle(approximate)
    state = np.append(np.zeros(8), 1).astype(np.float32)
    none = Addends(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.float32)))
    best, _ = bundle.graphs.score(state[None], none, 100)
    excluded = Addends(np.zeros(100, np.int64), best[0], np.full(100, -np.inf, np.float32))
    rows, scores = bundle.graphs.score(state[None], excluded, 100)
    assert np.isfinite(scores).all()
    assert not set(rows[0].tolist()) & set(best[0].tolist())


def test_a_service_lists_the_exact_best(approximate: Path) -> None:
    model, excluded = BundleModel.load(approximate, 1), np.arange(0, 200, 3)
    state = asyncio.run(model.adapt(NO_SUPPORT, {}))
    rows, scores = asyncio.run(model.rank(state, NO_SUPPORT, exclusion(excluded), 20))
    exact = model.catalogue.vectors @ state
    exact[excluded] = -np.inf
    ideal = -np.sort(-exact)[:20]
    assert np.mean(exact[rows] >= ideal[-1]) >= 0.99
    np.testing.assert_allclose(scores, exact[rows], rtol=1e-4)


def test_the_index_is_in_the_manifest_and_verified(approximate: Path, trained_store: Path, tmp_path: Path) -> None:
    folder = approximate
    manifest = open_bundle(folder).manifest
    assert manifest.training["index"] == "approximate"
    assert INDEX_FILE in manifest.files
    assert INDEX_FILE not in open_bundle(Registry(trained_store).live_folder()).manifest.files
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    whole = (copy / INDEX_FILE).read_bytes()
    (copy / INDEX_FILE).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BundleDamaged, match=r"index\.faiss: sha256"):
        open_bundle(copy)
    (copy / INDEX_FILE).write_bytes(whole[:100])
    reseal(copy, INDEX_FILE)
    with pytest.raises(BundleDamaged, match=r"index\.faiss: faiss does not read it"):
        open_bundle(copy)
    (copy / INDEX_FILE).unlink()
    reseal(copy, INDEX_FILE)
    (copy / INDEX_FILE).write_bytes(whole)
    with pytest.raises(BundleDamaged, match=r"index\.faiss: not in the manifest"):
        open_bundle(copy)


def test_without_faiss_an_approximate_bundle_names_the_extra(
    approximate: Path, trained_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    open_bundle(Registry(trained_store).live_folder())
    with pytest.raises(LibraryMissing, match=r'pip install "kshot\[approximate\]"'):
        open_bundle(approximate)


def test_a_training_for_an_index_needs_faiss(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    app = typer.Typer()
    app.command()(train)
    store = tmp_path / "store"
    ended = CliRunner().invoke(app, ["--data", str(source), "--store", str(store), "--index", "approximate"])
    assert ended.exit_code == 1
    assert "faiss is not installed" in ended.stderr
    assert not store.exists()


def test_an_index_with_low_recall_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    """Random vectors in many dimensions: the best items are spread over all cells."""
    n_items = 20_000
    vectors = np.random.default_rng(0).standard_normal((n_items, 65)).astype(np.float32)
    wide = replace(dataset, item_ids=[f"i{row}" for row in range(n_items)], titles=[""] * n_items)
    network = build(without_features(wide), dataset.events, CONFIG.model_copy(update={"dim": 64}), SHOTS)
    with torch.no_grad():
        network.encoder.id_vectors.copy_(torch.from_numpy(vectors[:, :-1]))
        network.part(Dense).adaptation.start.copy_(torch.from_numpy(vectors[0, :-1]))
    registry, config = Registry(tmp_path), CONFIG.model_copy(update={"dim": 64, "index": IndexName.APPROXIMATE})
    with (
        pytest.raises(
            ExportRefused, match=r"index\.faiss: recall@20 .* expected at least 0\.99; train with --index exact"
        ),
        write_draft(registry, without_features(wide), network, config),
    ):
        pass
    assert list(registry.bundles.iterdir()) == []


def without_features(dataset: Dataset) -> Dataset:
    empty = np.zeros(0, np.int64)
    return replace(
        dataset,
        features=ItemFeatures([], np.zeros(dataset.n_items + 1, np.int64), empty, empty.astype(np.float32)),
    )


def test_cells_grow_with_the_root_of_the_catalogue() -> None:
    assert cells_for(10) == 1
    assert [cells_for(n) for n in (20_000, 200_000, 2_000_000)] == [256, 2048, 8192]
