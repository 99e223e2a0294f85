"""``score.onnx``: an int8 scan of the whole catalogue for a batch of users, a selection, a float32 rescoring.

    unit  = max|w| / 127 · step of the table      of each user; w / (max|w| / 127) are a state's levels
    scan  = round(w's levels) · round(V's levels) + addends / unit      every item; the table is read once a batch
    bound = max(scan) + prior_scale · max(prior) / unit                 every block of 64 items
    full  = scan + prior_scale · prior / unit                           items of the best count + 32 blocks
    score = unit · (full + w's levels · V's levels − round(w's levels) · round(V's levels))       count + 32 items

Every pass over the catalogue counts: the scan is written once, addends are added in place, maxima read it once. So
everything is in units of the products of levels, which changes no order, and the prior enters by blocks: the table
stands in the order of the prior, so that the items of a block differ little in it and the bound is tight but for the
few most popular blocks, which it may choose in vain. The last line takes the error of quantisation off again.

States are quantised one by one, so that a user's list does not depend on who else is in the batch. The prior stays
outside the quantised product: its long tail would take the whole range of a per-tensor scale.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_store.export.nodes import OPSET, Nodes, external_array, shared_buffer
from model_store.export.scan import BLOCK, CONTRIB, PANEL, STATE_LEVELS, InOnePiece, InPanels, Scan

# Places beyond the list's length that are rescored: what quantisation may have misplaced. 12 were enough everywhere.
SLACK = 32
# Under this size one TopK over all scores is faster than two over blocks.
BLOCK_MAX_FROM = 10_000
# From this size the table is in panels: it leaves the processor's caches, and would be large in every worker. At
# 120,000 one user takes half the time so, four as long as with a table in one piece, and eight a quarter more.
PANELS_FROM = 100_000


def export_score(
    path: Path, vectors: NDArray[np.float32], vectors_file: str, *, panels_from: int = PANELS_FROM
) -> None:
    """Write ``score.onnx`` for a catalogue, and for a large one its arrays beside it, as ``score.….npy``.

    Args:
        path: the graph's file.
        vectors: float32 (n_items, dim + 1), last column the prior, which a state must scale by more than 0.
        vectors_file: the ``.npy`` file beside the graph that holds ``vectors``; the graph maps it instead of
            keeping a copy, so that all workers share its pages.
        panels_from: number of items from which a catalogue is large, at least 10,000.
    """
    n_items, (learned, prior) = len(vectors), _columns(vectors)
    in_panels = n_items >= panels_from
    graph = Nodes(beside=path if in_panels else None)
    order = np.argsort(-prior, kind="stable")
    # Places past the last item repeat it, with a prior that no list reaches.
    row_of_position = np.concatenate([order, np.repeat(order[-1:], -n_items % (PANEL if in_panels else BLOCK))])
    weights, prior = learned[row_of_position], prior[row_of_position]
    prior[n_items:] = -np.inf
    dim = weights.shape[1]
    scan = InPanels(weights) if in_panels else InOnePiece(weights)
    graph.constant("flat", [-1])
    graph.constant("column", [-1])
    _units(graph, dim, scan.table_step)
    scan.multiply(graph)
    _add(graph, order, scan)
    graph.node("Add", ["count", graph.constant("slack", [SLACK])], "wanted")
    graph.node("Min", ["wanted", graph.constant("n_items", [n_items])], "candidates")
    if n_items >= BLOCK_MAX_FROM:
        _select_by_blocks(graph, prior, scan)
    else:
        _select(graph, prior)
    graph.constants.append(external_array("vectors", vectors, path.parent / vectors_file))
    _rescore(graph, row_of_position)
    onnx.save(_model(graph, dim + 1), path)


def _columns(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The learned columns (n_items, dim) and the prior (n_items,) of item vectors, whose last column is the prior."""
    return vectors[:, :-1], vectors[:, -1]


def _units(graph: Nodes, dim: int, table_step: np.float32) -> None:
    """A user's unit, and in it the scale of the prior; the levels of the state, exact and whole."""
    graph.node("Split", ["user_state", graph.constant("parts", [dim, 1])], "weights", "prior_scale", axis=1)
    graph.node("ReduceMax", [graph.node("Abs", ["weights"], "magnitudes"), graph.constant("across", [1])], "largest")
    graph.node("Max", ["largest", graph.constant("tiny", np.float32(1e-12))], "largest_weight")
    graph.node("Mul", ["largest_weight", graph.constant("a_level", np.float32(1 / STATE_LEVELS))], "state_step")
    graph.node("Mul", ["state_step", graph.constant("table_step", table_step)], "unit")
    graph.node("Div", ["prior_scale", "unit"], "prior_units")
    graph.node("Div", ["weights", "state_step"], "state_levels")
    graph.node("Round", ["state_levels"], "state_whole")


def _add(graph: Nodes, order: NDArray[np.int64], scan: Scan) -> None:
    """The addends on top of the products, ``scan``, flat."""
    # GatherElements, since Gather copies single numbers one by one.
    places = graph.constant("place_of_row", np.argsort(order))
    graph.node("GatherElements", [places, "addend_rows"], "row_places")
    scan.locate(graph)
    graph.node("GatherElements", [graph.node("Reshape", ["unit", "flat"], "unit_flat"), "addend_users"], "addend_unit")
    graph.node("Div", ["addends", "addend_unit"], "addend_units")
    graph.node("ScatterElements", ["dense_flat", "places", "addend_units"], "scan", axis=0, reduction="add")


def _select(graph: Nodes, prior: NDArray[np.float32]) -> None:
    """The best of a small catalogue: their places (B, C) and scores."""
    graph.node("Reshape", ["scan", graph.constant("by_user", [-1, len(prior)])], "scan_by_user")
    graph.node("Mul", ["prior_units", graph.constant("prior", prior[None])], "scaled_prior")
    graph.node("Add", ["scan_by_user", "scaled_prior"], "full")
    graph.node("TopK", ["full", "candidates"], "best_full", "best", axis=1, sorted=0)


def _select_by_blocks(graph: Nodes, prior: NDArray[np.float32], scan: Scan) -> None:
    """The best items are in the blocks with the best bounds, one block an item at the worst."""
    by_block = prior.reshape(-1, BLOCK)
    scan.maxima(graph)
    graph.node("Mul", ["prior_units", graph.constant("largest_prior", by_block.max(axis=1)[None])], "scaled_largest")
    graph.node("Add", ["maxima", "scaled_largest"], "bounds")
    graph.node("Min", ["candidates", graph.constant("n_blocks", [len(by_block)])], "n_best_blocks")
    # Sorted: a heap that meets the best items first hardly changes afterwards, which makes the next TopK cheap.
    graph.node("TopK", ["bounds", "n_best_blocks"], "best_bounds", "best_blocks", axis=1)
    scan.chosen(graph)
    graph.node("Gather", [graph.constant("prior_by_block", by_block), "best_blocks"], "priors", axis=0)
    graph.node("Mul", ["priors", graph.node("Unsqueeze", ["prior_units", "column"], "prior_unit")], "scaled_priors")
    graph.node("Add", ["scans", "scaled_priors"], "full")
    graph.node("Reshape", ["full", graph.constant("pool_shape", [0, -1])], "pool")
    graph.node("TopK", ["pool", "candidates"], "best_full", "pool_places", axis=1, sorted=0)
    graph.node("Div", ["pool_places", graph.constant("block", [BLOCK])], "which_block")
    graph.node("Mod", ["pool_places", "block"], "place_in_block")
    graph.node("GatherElements", ["best_blocks", "which_block"], "block_number", axis=1)
    graph.node("Add", [graph.node("Mul", ["block_number", "block"], "block_start"), "place_in_block"], "best")


def _rescore(graph: Nodes, row_of_position: NDArray[np.int64]) -> None:
    """Take the error of quantisation off the best, and sort them; what is excluded stays so."""
    graph.node("Gather", [graph.constant("row_of_place", row_of_position), "best"], "best_rows", axis=0)
    graph.node("Gather", ["vectors", "best_rows"], "best_vectors", axis=0)
    graph.node("Split", ["best_vectors", "parts"], "best_dense", "best_prior", axis=2)
    graph.node("Div", ["best_dense", "table_step"], "levels")
    graph.node("MatMul", ["levels", graph.node("Unsqueeze", ["state_levels", "column"], "exact_state")], "exact")
    graph.node("Round", ["levels"], "whole_levels")
    graph.node("MatMul", ["whole_levels", graph.node("Unsqueeze", ["state_whole", "column"], "whole_state")], "scanned")
    graph.node("Squeeze", [graph.node("Sub", ["exact", "scanned"], "error_column"), "column"], "error")
    graph.node("Mul", [graph.node("Add", ["best_full", "error"], "rescored"), "unit"], "scored")
    graph.node("Min", ["count", "candidates"], "returned")
    graph.node("TopK", ["scored", "returned"], "scores", "order", axis=1)
    graph.node("GatherElements", ["best_rows", "order"], "rows", axis=1)


def _model(graph: Nodes, state_dim: int) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("user_state", TensorProto.FLOAT, ["users", state_dim]),
        helper.make_tensor_value_info("addend_users", TensorProto.INT64, ["addends"]),
        helper.make_tensor_value_info("addend_rows", TensorProto.INT64, ["addends"]),
        helper.make_tensor_value_info("addends", TensorProto.FLOAT, ["addends"]),
        helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("rows", TensorProto.INT64, ["users", "returned"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["users", "returned"]),
    ]
    places = shared_buffer("dense_flat", "scan")
    body = helper.make_graph(graph.nodes, "score", inputs, outputs, initializer=graph.constants, value_info=places)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(body, opset_imports=opsets, ir_version=10)
