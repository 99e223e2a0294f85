"""``score.onnx``: an int8 scan of the whole catalogue for a batch of users, an exact selection, a float32 rescoring.

    bias  = (prior_scale · prior + addends) / max|w|              votes, boosts, −inf for exclusions
    full  = int8(w / max|w|) · int8(V) · scales + bias            every item; the table is read once a batch
    best  = top count + 32 of full, by block maxima               exact: a block's maximum bounds its items
    score = w · V in float32 + max|w| · bias                      only for the best

Every pass over the catalogue counts, so ``full`` is in units of the user's max|w|, which changes no order. States are
quantised one by one, so that a user's list does not depend on who else is in the batch. The table has 7 bits
and a state 8, so that the sum of two products stays within int16: the AVX2 kernel for u8 × s8 saturates there,
silently. The prior stays outside the quantised product: its long tail would take the whole range of a per-tensor scale.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from model_store.export.nodes import CONTRIB, Nodes, external_array, score_model

# Places beyond the list's length that are rescored: what quantisation may have misplaced. 12 were enough everywhere.
SLACK = 32
BLOCK = 64
# Under this size one TopK over all scores is faster than two over blocks.
BLOCK_MAX_FROM = 10_000
STATE_LEVELS = 127.0
TABLE_LEVELS = 64.0  # 2 · 64 · 255 < 2¹⁵


def export_score(path: Path, vectors: NDArray[np.float32], vectors_file: str) -> None:
    """Write ``score.onnx`` for a catalogue.

    Args:
        path: the graph's file.
        vectors: float32 (n_items, dim + 1), last column the prior, which a state must scale by more than 0.
        vectors_file: the ``.npy`` file beside the graph that holds ``vectors``; the graph maps it instead of
            keeping a copy, so that all workers share its pages.
    """
    graph = Nodes()
    n_items, dim = len(vectors), vectors.shape[1] - 1
    graph.constant("flat", [-1])
    graph.constant("column", [-1])
    graph.node("Split", ["user_state", graph.constant("parts", [dim, 1])], "weights", "prior_scale", axis=1)
    graph.node("ReduceMax", [graph.node("Abs", ["weights"], "magnitudes"), graph.constant("across", [1])], "largest")
    graph.node("Max", ["largest", graph.constant("tiny", np.float32(1e-12))], "unit")
    padded = np.zeros((-(-n_items // BLOCK) * BLOCK, dim + 1), dtype=np.float32)
    padded[:n_items] = vectors
    padded[n_items:, dim] = -np.inf
    _bias(graph, padded[:, dim])
    _scan(graph, padded[:, :dim])
    graph.node("Add", ["count", graph.constant("slack", [SLACK])], "wanted")
    graph.node("Min", ["wanted", graph.constant("n_items", [n_items])], "candidates")
    if n_items >= BLOCK_MAX_FROM:
        _select_by_blocks(graph, len(padded))
    else:
        graph.node("TopK", ["full", "candidates"], "best_full", "best_or_padding", axis=1, sorted=0)
    graph.constants.append(external_array("vectors", vectors, path.parent / vectors_file))
    _rescore(graph, n_items)
    onnx.save(score_model(graph, dim + 1), path)


def _bias(graph: Nodes, prior: NDArray[np.float32]) -> None:
    """What is added to the product, (B, n_padded), in units."""
    graph.node("Div", ["prior_scale", "unit"], "prior_units")
    graph.node("Mul", ["prior_units", graph.constant("prior", prior[None])], "scaled_prior")
    graph.node("Reshape", ["scaled_prior", "flat"], "scaled_prior_flat")
    graph.node("Mul", ["addend_users", graph.constant("n_padded", [len(prior)])], "first_places")
    graph.node("Add", ["first_places", "addend_rows"], "places")
    graph.node("Gather", [graph.node("Reshape", ["unit", "flat"], "unit_flat"), "addend_users"], "addend_unit", axis=0)
    graph.node("Div", ["addends", "addend_unit"], "addend_units")
    graph.node("ScatterElements", ["scaled_prior_flat", "places", "addend_units"], "bias_flat", axis=0, reduction="add")
    graph.node("Reshape", ["bias_flat", graph.constant("by_user", [-1, len(prior)])], "bias")


def _scan(graph: Nodes, vectors: NDArray[np.float32]) -> None:
    """Approximate scores of all items, (B, n_padded), in units."""
    table_step = np.float32(max(float(np.abs(vectors).max()), 1e-12) / TABLE_LEVELS)
    graph.node("Div", ["weights", "unit"], "unit_weights")
    graph.constant("state_step", np.float32(1 / STATE_LEVELS))
    graph.constant("state_zero", np.uint8(128))
    graph.node("QuantizeLinear", ["unit_weights", "state_step", "state_zero"], "state_uint8")
    graph.constant("table", np.round(vectors / table_step).astype(np.int8).T)
    graph.constant("table_step", table_step)
    graph.constant("table_zero", np.int8(0))
    product = ["state_uint8", "table", "state_step", "table_step", "state_zero", "table_zero"]
    graph.node("MatMulIntegerToFloat", product, "dense", domain=CONTRIB)
    graph.node("Add", ["dense", "bias"], "full")


def _select_by_blocks(graph: Nodes, n_padded: int) -> None:
    """The best items are in the blocks with the best maxima, one block an item at the worst."""
    n_blocks = n_padded // BLOCK
    graph.node("Reshape", ["full", graph.constant("block_shape", [-1, n_blocks, BLOCK])], "blocks")
    graph.node("ReduceMax", ["blocks", graph.constant("within", [2])], "maxima", keepdims=0)
    graph.node("Min", ["candidates", graph.constant("n_blocks", [n_blocks])], "n_best_blocks")
    graph.node("TopK", ["maxima", "n_best_blocks"], "best_maxima", "best_blocks", axis=1, sorted=0)
    graph.node("Unsqueeze", ["best_blocks", "column"], "block_index")
    graph.node("GatherND", ["blocks", "block_index"], "best_block_scores", batch_dims=1)
    graph.node("Reshape", ["best_block_scores", graph.constant("pool_shape", [0, -1])], "pool")
    graph.node("TopK", ["pool", "candidates"], "best_full", "pool_places", axis=1, sorted=0)
    graph.constant("block", [BLOCK])
    graph.node("Div", ["pool_places", "block"], "which_block")
    graph.node("Mod", ["pool_places", "block"], "place_in_block")
    graph.node("GatherElements", ["best_blocks", "which_block"], "block_number", axis=1)
    graph.node("Mul", ["block_number", "block"], "block_start")
    graph.node("Add", ["block_start", "place_in_block"], "best_or_padding")


def _rescore(graph: Nodes, n_items: int) -> None:
    """Score the best once more, in float32, and sort them."""
    # Padding ties with excluded items; it is only reached where a catalogue is all but used up.
    graph.node("Min", ["best_or_padding", graph.constant("last_item", [n_items - 1])], "best")
    graph.node("Gather", ["vectors", "best"], "best_vectors", axis=0)
    graph.node("Pad", ["weights", graph.constant("prior_column", [0, 0, 0, 1])], "weights_alone")
    graph.node("Unsqueeze", ["weights_alone", "column"], "weights_column")
    graph.node("MatMul", ["best_vectors", "weights_column"], "exact_column")
    graph.node("Squeeze", ["exact_column", "column"], "exact")
    graph.node("GatherElements", ["bias", "best"], "best_units", axis=1)
    graph.node("Mul", ["best_units", "unit"], "best_bias")
    graph.node("Add", ["exact", "best_bias"], "rescored")
    # An excluded place stays so, padding too.
    graph.node("Equal", ["best_full", graph.constant("excluded", np.float32(-np.inf))], "is_excluded")
    graph.node("Where", ["is_excluded", "excluded", "rescored"], "scored")
    graph.node("Min", ["count", "candidates"], "returned")
    graph.node("TopK", ["scored", "returned"], "scores", "order", axis=1)
    graph.node("GatherElements", ["best", "order"], "rows", axis=1)
