"""Parity: the sessions that will serve, against torch; a graph that misses is not published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.bundle import (
    NO_BIASES,
    Addends,
    Catalogue,
    Encoded,
    Graphs,
    RankRequest,
    Runtime,
    UserSupport,
)
from model_store.bundle.candidates import INDEX_FILE
from model_store.bundle.golden import GoldenCase
from model_store.errors import ExportRefused
from model_store.export.torch_graphs import Adapt, Vote
from model_store.meta.network import Network
from model_store.meta.parts.dense import Dense

SUPPORT_LENGTHS = (1, 2, 7, 50)
TOLERANCE = 1e-4
RECALL_AT = 20
MIN_RECALL = 0.999
RECALL_USERS = 100
GOLDEN_COUNT = 50
MAX_ATTRIBUTES = 5

Arrays = dict[str, NDArray[Any]]


def check_parity(
    folder: Path, network: Network, values: NDArray[np.float32], max_support: int, seed: int
) -> list[GoldenCase]:
    """Compare all graphs of ``folder`` with torch and return the runs as golden cases.

    The answers of an index are only recorded here; ``export.build_index`` judges them.

    Args:
        folder: the draft with its graphs and arrays.
        network: the trained network.
        values: float32, feedback values to draw from.
        max_support: longest support to try, beside 1, 2, 7 and 50.
        seed: for the drawn supports.

    Raises:
        ExportRefused: with the graph, the difference found and the tolerance.
    """
    runtime = Runtime(Graphs(folder), Catalogue(folder))
    graphs, vectors = runtime.graphs, runtime.catalogue.vectors
    rng = np.random.default_rng(seed)
    lengths = sorted({*(length for length in SUPPORT_LENGTHS if length < max_support), max_support})
    cases = [_encode_case(graphs, network, rng)]
    supports = [_draw(network, values, shots, rng) for shots in (0, *lengths)]
    for shots, support in zip((0, *lengths), supports, strict=True):
        adapt = _adapt_case(runtime, network, support)
        vote = _vote_case(graphs, network, support)
        states = np.repeat(adapt.outputs["user_state"], 2, axis=0)
        addends = Addends(*vote.outputs.values())
        if graphs.index is not None:
            states, addends = states[:1], addends.of(0)
        score = _run(graphs, "score.onnx", graphs.score_inputs(states, addends, min(GOLDEN_COUNT, len(vectors))))
        # The longest support is proven, but would make the file of golden cases large.
        cases += [adapt, vote, score] if shots <= max(SUPPORT_LENGTHS) else []
    _check_batches(runtime, supports)
    if graphs.index is None:
        _check_recall(runtime, network, values, rng)
    else:
        count = np.array([min(GOLDEN_COUNT, len(vectors))])
        cases.append(_run(graphs, INDEX_FILE, {"user_state": states, "count": count}))
    return cases


def _draw(network: Network, values: NDArray[np.float32], shots: int, rng: np.random.Generator) -> UserSupport:
    """A made-up user's support and attributes."""
    n_attributes = int(rng.integers(1, MAX_ATTRIBUTES, endpoint=True))
    attributes = Encoded(
        rng.integers(0, len(network.part(Dense).adaptation.scaled_attributes), n_attributes),
        rng.random(n_attributes, dtype=np.float32),
    )
    return UserSupport(
        rng.integers(0, network.n_items, shots),
        rng.choice(values, shots).astype(np.float32),
        np.sort(rng.exponential(30, shots).astype(np.float32))[::-1].copy(),
        attributes,
    )


def _run(graphs: Graphs, graph: str, inputs: Arrays) -> GoldenCase:
    return GoldenCase(graph, inputs, graphs.run(graph, inputs))


def _adapt_case(runtime: Runtime, network: Network, user: UserSupport) -> GoldenCase:
    inputs = runtime.adapt_inputs([user])
    case = _run(runtime.graphs, "adapt.onnx", inputs)
    _check(case, {"user_state": Adapt(network)(**_tensors(inputs))})
    return case


def _check_batches(runtime: Runtime, users: list[UserSupport]) -> None:
    """Refuse a graph by which any bit of a user's state depends on the batch."""
    batches = [*([user] for user in users), users, users[::-1]]
    states = [runtime.adapt(batch) for batch in batches]
    alone = np.concatenate(states[:-2])
    for batched in (states[-2], states[-1][::-1]):
        if not np.array_equal(alone, batched):
            apart = float(np.abs(alone - batched).max())
            raise ExportRefused(f"adapt.onnx: users who adapt together differ by {apart:.1e}, expected the same bits")


def _vote_case(graphs: Graphs, network: Network, user: UserSupport) -> GoldenCase:
    """The votes of a user's events, and one event that stands for a second user without any."""
    rows = np.append(user.rows, 0)
    neighbour_rows, neighbour_weights = network.neighbour_lists(rows)
    inputs: Arrays = {
        "neighbour_rows": neighbour_rows.int().numpy(),
        "neighbour_weights": neighbour_weights.detach().numpy(),
        "values": np.append(user.values, np.float32(0)),
        "ages": np.append(user.ages, np.float32(0)),
        "users": np.append(np.zeros(user.shots, dtype=np.int64), 1),
        "shots": np.array([user.shots, 0], dtype=np.float32),
    }
    case = _run(graphs, "vote.onnx", inputs)
    names = ("addend_users", "addend_rows", "addends")
    _check(case, dict(zip(names, Vote(network)(**_tensors(inputs)), strict=True)))
    return case


def _encode_case(graphs: Graphs, network: Network, rng: np.random.Generator) -> GoldenCase:
    ids = rng.integers(0, network.encoder.content.shape[0], 5)
    inputs: Arrays = {"feature_ids": ids, "feature_weights": rng.random(5, dtype=np.float32)}
    case = _run(graphs, "encode_item.onnx", inputs)
    _check(case, {"item_vector": network.encoder(**_tensors(inputs))})
    return case


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _check(case: GoldenCase, expected: dict[str, Tensor]) -> None:
    for name, tensor in expected.items():
        difference = float(np.abs(case.outputs[name] - tensor.detach().numpy()).max())
        scale = max(1.0, float(tensor.detach().abs().max()))
        if not difference <= TOLERANCE * scale:
            first, array = next(iter(case.inputs.items()))
            raise ExportRefused(
                f"{case.graph}: {name} differs from torch by {difference:.2e} with {first} of shape {array.shape}, "
                f"expected at most {TOLERANCE * scale:.0e}"
            )


def _check_recall(runtime: Runtime, network: Network, values: NDArray[np.float32], rng: np.random.Generator) -> None:
    """recall@20 of the int8 scan with rescoring against float32 over the whole catalogue."""
    at = min(RECALL_AT, len(runtime.catalogue))
    hits = 0
    for _ in range(RECALL_USERS):
        user = _draw(network, values, int(rng.integers(1, 30)), rng)
        request = RankRequest(runtime.adapt([user])[0], user, NO_BIASES, at)
        (ranked,), (exact,) = runtime.rank([request]), runtime.exact_scores([request])
        # Ties at the edge: any item that scores as high as the last exact one is right.
        edge = np.partition(exact, -at)[-at]
        hits += int((exact[ranked.rows] >= edge - TOLERANCE).sum())
    recall = hits / (RECALL_USERS * at)
    if recall < MIN_RECALL:
        raise ExportRefused(f"score.onnx: recall@{at} against float32 is {recall:.4f}, expected at least {MIN_RECALL}")
