"""``score.onnx``: an int8 scan of the whole catalogue, an exact selection, a float32 rescoring of the best.

    bias  = prior · prior_scale with the addends scattered in     votes, boosts, −inf for exclusions
    full  = int8(V) · int8(w) · scales + bias                     every item, read once
    best  = top count + 32 of full, by block maxima               exact: a block's maximum bounds its items
    score = V · w in float32 + bias                               only for the best

The table is quantised to 7 bits and the state to 8, so that the sum of two products stays within int16: the AVX2 kernel
for u8 × s8 saturates there, silently. The prior stays outside the quantised product: its long tail would take the
whole range of a per-tensor scale. The addends go into the bias, before the scan, so that the scatter works in place
and the catalogue's scores are written once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
# onnxruntime's own operators: product, scales and bias in one pass; the standard ones take three.
CONTRIB = "com.microsoft"
# Places beyond the list's length that are rescored: what quantisation may have misplaced. 12 were enough everywhere.
SLACK = 32
BLOCK = 64
# Under this size one TopK over all scores is faster than two over blocks.
BLOCK_MAX_FROM = 10_000
TABLE_LEVELS = 64.0  # 2 · 64 · 255 < 2¹⁵


class _Graph:
    """Nodes and constants in the order they are added; a name stands for its value."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any] | np.generic | list[int]) -> str:
        array = np.asarray(value, dtype=np.int64 if isinstance(value, list) else None)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def node(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, list(outputs), **attributes))
        return outputs[0]


def export_score(path: Path, vectors: NDArray[np.float32], vectors_file: str) -> None:
    """Write ``score.onnx`` for a catalogue.

    Args:
        path: the graph's file.
        vectors: float32 (n_items, dim + 1), last column the prior.
        vectors_file: the ``.npy`` file beside the graph that holds ``vectors``; the graph maps it instead of
            keeping a copy, so that all workers share its pages.
    """
    graph = _Graph()
    n_items, dim = len(vectors), vectors.shape[1] - 1
    padded = np.zeros((-(-n_items // BLOCK) * BLOCK, dim + 1), dtype=np.float32)
    padded[:n_items] = vectors
    graph.constant("flat", [-1])
    graph.node("Split", ["user_state", graph.constant("parts", [dim, 1])], "weights", "prior_scale", axis=0)
    _bias(graph, padded[:, dim], n_items)
    _scan(graph, padded[:, :dim])
    graph.node("Add", ["count", graph.constant("slack", [SLACK])], "wanted")
    graph.node("Min", ["wanted", graph.constant("n_items", [n_items])], "candidates")
    if n_items >= BLOCK_MAX_FROM:
        _select_by_blocks(graph, n_items)
    else:
        graph.node("TopK", ["full", "candidates"], "best_full", "best", sorted=0)
    graph.constants.append(_external("vectors", vectors, path.parent / vectors_file))
    _rescore(graph, dim)
    onnx.save(_model(graph, dim + 1), path)


def _bias(graph: _Graph, prior: NDArray[np.float32], n_items: int) -> None:
    """What is added to the product: scaled prior and addends; the padding of the last block is excluded."""
    graph.node("Mul", [graph.constant("prior", prior), "prior_scale"], "scaled_prior")
    padding = np.arange(n_items, len(prior))
    rows, values = "addend_rows", "addends"
    if len(padding):
        graph.constant("padding_rows", padding)
        graph.constant("padding_addends", np.full(len(padding), -np.inf, dtype=np.float32))
        rows = graph.node("Concat", [rows, "padding_rows"], "all_rows", axis=0)
        values = graph.node("Concat", [values, "padding_addends"], "all_addends", axis=0)
    graph.node("ScatterElements", ["scaled_prior", rows, values], "bias", axis=0, reduction="add")


def _scan(graph: _Graph, vectors: NDArray[np.float32]) -> None:
    """Approximate scores of all items."""
    dim = vectors.shape[1]
    scale = np.float32(max(float(np.abs(vectors).max()), 1e-12) / TABLE_LEVELS)
    graph.node("Reshape", ["weights", graph.constant("one_row", [1, dim])], "weights_row")
    graph.node("DynamicQuantizeLinear", ["weights_row"], "state_uint8", "state_step", "state_zero")
    graph.constant("table", np.round(vectors / scale).astype(np.int8).T)
    graph.constant("table_zero", np.int8(0))
    graph.constant("table_step", scale)
    product = ["state_uint8", "table", "state_step", "table_step", "state_zero", "table_zero", "bias"]
    graph.node("MatMulIntegerToFloat", product, "full_row", domain=CONTRIB)
    graph.node("Reshape", ["full_row", "flat"], "full")


def _select_by_blocks(graph: _Graph, n_items: int) -> None:
    """The best items are in the blocks with the best maxima, one block an item at the worst."""
    n_blocks = -(-n_items // BLOCK)
    graph.node("Reshape", ["full", graph.constant("block_shape", [n_blocks, BLOCK])], "blocks")
    graph.node("ReduceMax", ["blocks", graph.constant("within", [1])], "maxima", keepdims=0)
    graph.node("Min", ["candidates", graph.constant("n_blocks", [n_blocks])], "n_best_blocks")
    graph.node("TopK", ["maxima", "n_best_blocks"], "best_maxima", "best_blocks", sorted=0)
    graph.node("Gather", ["blocks", "best_blocks"], "best_block_scores", axis=0)
    graph.node("Reshape", ["best_block_scores", "flat"], "pool")
    graph.node("TopK", ["pool", "candidates"], "best_full", "pool_places", sorted=0)
    graph.constant("block", [BLOCK])
    graph.node("Div", ["pool_places", "block"], "which_block")
    graph.node("Mod", ["pool_places", "block"], "place_in_block")
    graph.node("Gather", ["best_blocks", "which_block"], "block_number")
    graph.node("Mul", ["block_number", "block"], "block_start")
    graph.node("Add", ["block_start", "place_in_block"], "best")


def _rescore(graph: _Graph, dim: int) -> None:
    """Score the best once more, in float32, and sort them."""
    graph.node("Gather", ["vectors", "best"], "best_vectors", axis=0)
    graph.node("Concat", ["weights", graph.constant("nothing", np.zeros(1, dtype=np.float32))], "weights_only", axis=0)
    graph.node("Reshape", ["weights_only", graph.constant("column", [dim + 1, 1])], "state_column")
    graph.node("Reshape", [graph.node("MatMul", ["best_vectors", "state_column"], "exact_column"), "flat"], "exact")
    graph.node("Add", ["exact", graph.node("Gather", ["bias", "best"], "best_bias")], "rescored_scores")
    graph.node("Min", ["count", "candidates"], "returned")
    graph.node("TopK", ["rescored_scores", "returned"], "scores", "order")
    graph.node("Gather", ["best", "order"], "rows")


def _external(name: str, array: NDArray[np.float32], file: Path) -> onnx.TensorProto:
    """A constant that lives in an ``.npy`` file, past its header."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape, data_location=TensorProto.EXTERNAL)
    offset = file.stat().st_size - array.nbytes
    for key, value in (("location", file.name), ("offset", offset), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _model(graph: _Graph, state_dim: int) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("user_state", TensorProto.FLOAT, [state_dim]),
        helper.make_tensor_value_info("addend_rows", TensorProto.INT64, ["addends"]),
        helper.make_tensor_value_info("addends", TensorProto.FLOAT, ["addends"]),
        helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("rows", TensorProto.INT64, ["returned"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["returned"]),
    ]
    body = helper.make_graph(graph.nodes, "score", inputs, outputs, initializer=graph.constants)
    return helper.make_model(
        body, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)], ir_version=10
    )
