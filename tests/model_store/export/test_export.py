"""Export: the graphs compute the same as torch, and an export that differs publishes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.bundle import Registry, open_bundle, padded
from model_store.bundle.sessions import GRAPH_FILES, open_session
from model_store.config import TrainingConfig
from model_store.data.schema import Dataset
from model_store.data.sources import load
from model_store.errors import ExportRefused
from model_store.export import write_draft
from model_store.export.nodes import LARGE
from model_store.export.scan import PANEL, STATE_LEVELS, TABLE_LEVELS, InPanels
from model_store.export.score_graph import BLOCK_MAX_FROM, PANELS_FROM, export_score
from model_store.export.torch_graphs import export_adapt, export_vote
from model_store.meta.network import build
from model_store.meta.parts.dense import Dense
from model_store.meta.parts.votes import Votes
from model_store.meta.supports import EventBatch, log_shots

SHOTS = (0, 1, 3, 5)
CONFIG = TrainingConfig(dim=8, anchors=16, neighbours=10, max_support=60)


@pytest.fixture(scope="module")
def dataset(source: Path) -> Dataset:
    return load(str(source)).dataset


def test_an_export_that_differs_from_torch_publishes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    registry = Registry(tmp_path)
    adaptation = network.part(Dense).adaptation
    adapt = adaptation.adapt
    # A formula that a trace freezes: random numbers differ between the graph and torch.
    adaptation.adapt = lambda *args: adapt(*args) + torch.rand(1)
    with (
        pytest.raises(ExportRefused, match=r"adapt\.onnx: user_state differs"),
        write_draft(registry, dataset, network, CONFIG),
    ):
        pass
    assert list(registry.bundles.iterdir()) == []


def test_a_formula_that_mixes_its_users_publishes_nothing(dataset: Dataset, tmp_path: Path) -> None:
    network, registry = build(dataset, dataset.events, CONFIG, SHOTS), Registry(tmp_path)
    adaptation = network.part(Dense).adaptation
    adapt = adaptation.adapt

    def mixed(events: EventBatch, mask: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """Differs only in batches, so that the parity of single users holds."""
        shots = log_shots(mask)
        return adapt(events, mask, start) + 1e-3 * (shots - shots.mean(0, keepdim=True))

    adaptation.adapt = mixed
    with (
        pytest.raises(ExportRefused, match=r"adapt\.onnx: users who adapt together differ by"),
        write_draft(registry, dataset, network, CONFIG),
    ):
        pass
    assert list(registry.bundles.iterdir()) == []


def test_an_unpublished_draft_is_removed(dataset: Dataset, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    with write_draft(registry, dataset, build(dataset, dataset.events, CONFIG, SHOTS), CONFIG):
        assert len(list(registry.bundles.iterdir())) == 1
    assert list(registry.bundles.iterdir()) == []


def test_the_same_network_gives_the_same_version(dataset: Dataset, tmp_path: Path) -> None:
    versions = []
    for name in ("one", "two"):
        registry = Registry(tmp_path / name)
        with write_draft(registry, dataset, build(dataset, dataset.events, CONFIG, SHOTS), CONFIG) as draft:
            versions.append(draft.publish(registry, results={}))
        assert open_bundle(registry.live_folder()).version == versions[-1]
    assert versions[0] == versions[1]


def test_graphs_contain_no_paths_of_the_machine(dataset: Dataset, tmp_path: Path) -> None:
    """Paths would change the bundle's version from machine to machine."""
    network, registry = build(dataset, dataset.events, CONFIG, SHOTS), Registry(tmp_path)
    with write_draft(registry, dataset, network, CONFIG) as draft:
        draft.publish(registry, results={})
    graphs = {path.name: path.read_bytes() for path in registry.live_folder().glob("*.onnx")}
    assert [name for name, content in graphs.items() if b".py" in content] == []
    assert len(graphs) == len(GRAPH_FILES)


@pytest.mark.parametrize("has_attributes", [False, True])
def test_a_users_state_is_the_same_bits_in_any_batch(dataset: Dataset, tmp_path: Path, *, has_attributes: bool) -> None:
    adapt = tmp_path / "adapt.onnx"
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    for part in network.state_parts:
        for parameter in part.parameters():  # at the start many are zero, and would not affect the last bits
            torch.nn.init.normal_(parameter, std=0.5)
    export_adapt(adapt, network, has_attributes=has_attributes)
    session, rng = open_session(adapt), np.random.default_rng(0)

    def states(*users: dict[str, np.ndarray]) -> list[bytes]:
        feed = {
            name: padded([user[name] for user in users], column.dtype.type)
            for name, column in users[0].items()
            if name != "vectors"
        }
        feed["vectors"] = np.zeros((*feed["mask"].shape, CONFIG.dim + 1), dtype=np.float32)
        for row, user in zip(feed["vectors"], users, strict=True):
            row[: len(user["vectors"])] = user["vectors"]
        (batch,) = session.run(["user_state"], feed)
        return [state.tobytes() for state in batch]

    def user() -> dict[str, np.ndarray]:
        size = int(rng.integers(1, CONFIG.max_support, endpoint=True))
        n_attributes = int(rng.integers(1, 20))
        attributes = {
            "attribute_ids": np.zeros(n_attributes, dtype=np.int64),
            "attribute_weights": rng.random(n_attributes, dtype=np.float32),
        }
        events = {
            "vectors": rng.standard_normal((size, CONFIG.dim + 1)).astype(np.float32),
            "values": rng.integers(1, 6, size).astype(np.float32),
            "ages": np.sort(100 * rng.random(size, dtype=np.float32))[::-1],
            "mask": np.ones(size, dtype=np.float32),
        }
        return events | attributes if has_attributes else events

    users = [user() for _ in range(60)]
    alone = [state for single in users for state in states(single)]
    assert len(set(alone)) == len(users)
    for _ in range(200):
        chosen = rng.integers(0, len(users), int(rng.integers(2, 20)))
        assert states(*(users[index] for index in chosen)) == [alone[index] for index in chosen]


def test_a_users_votes_are_the_same_bits_in_any_batch(dataset: Dataset, tmp_path: Path) -> None:
    """onnxruntime's logarithm depends on the position of a number; that of a user in the batch must not matter."""
    vote = tmp_path / "vote.onnx"
    network = build(dataset, dataset.events, CONFIG, SHOTS)
    # The decay at the start is so slow that ages would not affect the last bits.
    torch.nn.init.constant_(network.part(Votes).decay, 5.0)
    export_vote(vote, network)
    session, rng = open_session(vote), np.random.default_rng(0)

    def votes(*events: Events) -> list[tuple[bytes, ...]]:
        """Rows and addends per user, in one batch."""
        sizes = [len(of_user["values"]) for of_user in events]
        feed = {name: np.concatenate([of_user[name] for of_user in events]) for name in events[0]}
        users = {"users": np.arange(len(events)).repeat(sizes), "shots": np.array(sizes, dtype=np.float32)}
        of, rows, addends = session.run(["addend_users", "addend_rows", "addends"], feed | users)
        return [(rows[of == user].tobytes(), addends[of == user].tobytes()) for user in range(len(events))]

    for _ in range(100):
        batch = [made_up_events(rng, int(size)) for size in rng.integers(1, 12, 4)]
        assert votes(*batch) == [alone for of_user in batch for alone in votes(of_user)]


Events = dict[str, np.ndarray]


def made_up_events(rng: np.random.Generator, size: int) -> Events:
    """Events of one user, as inputs of ``vote.onnx``."""
    return {
        "neighbour_rows": rng.integers(0, 240, (size, CONFIG.neighbours)).astype(np.int32),
        "neighbour_weights": rng.random((size, CONFIG.neighbours), dtype=np.float32),
        "values": rng.integers(1, 6, size).astype(np.float32),
        "ages": np.sort(100 * rng.random(size, dtype=np.float32))[::-1],
    }


class Scorer:
    """``score.onnx`` for a made-up catalogue, with its exact answer in numpy."""

    def __init__(
        self, folder: Path, n_items: int, *, spread: float = 0.5, dim: int = 16, panels_from: int = PANELS_FROM
    ) -> None:
        rng = np.random.default_rng(n_items)
        vectors = rng.standard_normal((n_items, dim + 1)) * np.exp(spread * rng.standard_normal((n_items, 1)))
        vectors[:, -1] = rng.permutation(-1.2 * np.log1p(np.arange(n_items)))
        self.vectors = vectors.astype(np.float32)
        np.save(folder / "vectors.npy", self.vectors)
        export_score(folder / "score.onnx", self.vectors, "vectors.npy", panels_from=panels_from)
        self.session = open_session(folder / "score.onnx")

    def run(
        self, state: np.ndarray, rows: np.ndarray, addends: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        users = np.ones(len(rows), dtype=np.int64)
        # The first user of the batch has other scores, which must not matter.
        feed = {
            "user_state": np.stack([100 * np.abs(state[::-1]) + 1, state]),
            "addend_users": users,
            "addend_rows": rows,
            "addends": addends,
            "count": np.array([count]),
        }
        best, scores = self.session.run(["rows", "scores"], feed)
        return best[1], scores[1]

    def exact(self, state: np.ndarray, rows: np.ndarray, addends: np.ndarray) -> np.ndarray:
        scores = self.vectors @ state
        np.add.at(scores, rows, addends)
        return scores


@pytest.fixture(
    scope="module",
    params=[(5, PANELS_FROM), (100, PANELS_FROM), (4000, PANELS_FROM)]
    + [(BLOCK_MAX_FROM + 17, panels_from) for panels_from in (PANELS_FROM, BLOCK_MAX_FROM)],
    ids=["5", "100", "4000", "in one piece", "in panels"],
)
def scorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    n_items, panels_from = request.param
    return Scorer(tmp_path_factory.mktemp("score"), n_items, panels_from=panels_from)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    votes=st.integers(0, 300),
    excluded=st.integers(0, 60),
    count=st.integers(1, 60),
)
def test_the_best_rows_are_those_of_float32(scorer: Scorer, seed: int, votes: int, excluded: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    n_items = len(scorer.vectors)
    state = rng.standard_normal(scorer.vectors.shape[1]).astype(np.float32)
    state[-1] = abs(state[-1])
    rows = rng.integers(0, n_items, votes + excluded)
    addends = np.concatenate([rng.normal(1, 2, votes), np.full(excluded, -np.inf)]).astype(np.float32)
    best, scores = scorer.run(state, rows, addends, count)
    exact = scorer.exact(state, rows, addends)
    assert len(best) == len(set(best.tolist())) == min(count, n_items)
    np.testing.assert_allclose(scores, exact[best], rtol=1e-4, atol=1e-4)
    ideal = np.sort(exact)[::-1][: len(best)]
    finite = np.isfinite(ideal)
    # Only near ties at the edge of the 128 that are rescored may differ.
    np.testing.assert_allclose(scores[finite], ideal[finite], rtol=1e-4, atol=1e-4)


def test_a_users_list_is_the_same_bits_in_any_batch(scorer: Scorer) -> None:
    n_items, dim = scorer.vectors.shape
    rng = np.random.default_rng(0)

    def lists(states: np.ndarray, users: np.ndarray, rows: np.ndarray, addends: np.ndarray) -> list[tuple[bytes, ...]]:
        feed = {"user_state": states, "addend_users": users, "addend_rows": rows, "addends": addends}
        best, scores = scorer.session.run(["rows", "scores"], feed | {"count": np.array([20])})
        return [(rows.tobytes(), values.tobytes()) for rows, values in zip(best, scores, strict=True)]

    for _ in range(30):
        states = np.abs(rng.standard_normal((4, dim), dtype=np.float32))
        users, rows = rng.integers(0, 4, 200), rng.integers(0, n_items, 200)
        addends = rng.standard_normal(200, dtype=np.float32)
        alone = [
            lists(states[user : user + 1], np.zeros(mask.sum(), dtype=np.int64), rows[mask], addends[mask])
            for user, mask in enumerate(users == np.arange(4)[:, None])
        ]
        assert lists(states, users, rows, addends) == [one for (one,) in alone]


def test_a_state_without_weights_ranks_by_the_prior(tmp_path: Path) -> None:
    scorer = Scorer(tmp_path, 10)
    state = np.zeros(scorer.vectors.shape[1], dtype=np.float32)
    state[-1] = 2
    none = np.zeros(0, dtype=np.int64)
    best, scores = scorer.run(state, none, none.astype(np.float32), 3)
    prior = scorer.vectors[:, -1]
    assert best.tolist() == np.argsort(-prior)[:3].tolist()
    np.testing.assert_allclose(scores, 2 * prior[best], rtol=1e-6)


@pytest.mark.parametrize(("n_items", "panels_from"), [(200, PANELS_FROM), (BLOCK_MAX_FROM, BLOCK_MAX_FROM)])
def test_the_largest_states_do_not_saturate(tmp_path: Path, n_items: int, panels_from: int) -> None:
    """All products have one sign and full range, which would overflow u8 × s8 kernels on int16 pairs."""
    vectors = np.ones((n_items, 65), dtype=np.float32)
    vectors[100:] = -1
    vectors[:, -1] = 0
    np.save(tmp_path / "vectors.npy", vectors)
    export_score(tmp_path / "score.onnx", vectors, "vectors.npy", panels_from=panels_from)
    state = np.ones((1, 65), dtype=np.float32)
    session = open_session(tmp_path / "score.onnx")
    none = np.zeros(0, dtype=np.int64)
    feed = {
        "user_state": state,
        "addend_users": none,
        "addend_rows": none,
        "addends": none.astype(np.float32),
        "count": np.array([150]),
    }
    rows, scores = session.run(["rows", "scores"], feed)
    assert set(rows[0, :100].tolist()) == set(range(100))
    np.testing.assert_allclose(np.sort(scores[0]), np.sort(vectors[rows[0]] @ state[0]), rtol=1e-4)


@pytest.mark.parametrize("dim", [4, 64, 100])
def test_products_in_panels_are_those_of_whole_levels(dim: int) -> None:
    """Vectors of one sign have the largest sums for the cancelling rows."""
    rng = np.random.default_rng(dim)
    vectors = rng.uniform(0.5, 1, (3 * PANEL, dim)).astype(np.float32)
    vectors[PANEL:] *= rng.choice([-1, 1], (2 * PANEL, dim))
    scan = InPanels(vectors)
    table = scan.table.astype(np.int64)
    states = rng.integers(-STATE_LEVELS, STATE_LEVELS, (5, dim), endpoint=True)
    extended = np.concatenate([states, np.full((5, scan.cancelling), STATE_LEVELS)], axis=1)
    extended[:, -1] = 0
    products = np.einsum("uk,pokw->upw", extended + STATE_LEVELS, table).reshape(5, -1)
    np.testing.assert_array_equal(products, states @ np.round(vectors / scan.table_step).T)
    assert np.abs(table).max() <= TABLE_LEVELS


def test_arrays_of_a_large_catalogue_are_outside_its_graph(tmp_path: Path) -> None:
    """Workers share mapped files; constants in the graph are copied per worker."""
    n_items = 140_000
    Scorer(tmp_path, n_items, dim=8, panels_from=n_items)
    assert (tmp_path / "score.table.npy").stat().st_size >= 8 * n_items
    assert (tmp_path / "score.onnx").stat().st_size < LARGE


def test_a_list_longer_than_the_allowed_rows_ends_with_excluded_ones(tmp_path: Path) -> None:
    n_items = BLOCK_MAX_FROM + 5  # the last block has more padding than items
    scorer = Scorer(tmp_path, n_items, dim=4)
    state = np.ones(5, dtype=np.float32)
    rows = np.arange(10, n_items)
    best, scores = scorer.run(state, rows, np.full(len(rows), -np.inf, dtype=np.float32), 30)
    assert set(best[:10].tolist()) == set(range(10))
    assert np.isneginf(scores[10:]).all()
    assert best.max() < n_items
