"""``score.onnx``: an int8 scan of the whole catalogue, an exact selection, a float32 rescoring of the best.

    base  = int8(V) · int8(w) · scales + prior · prior_scale          every item, read once
    full  = base with the addends scattered in                        votes, boosts, −inf for exclusions
    best  = top max(count, 128) of full, by block maxima              exact: a block's maximum bounds its items
    score = full + (V · w in float32 − base)                          only for the best

The state is quantised to 7 bits and the table to 8, so that the sum of two products stays within int16: the
AVX2 kernel for u8 × s8 saturates there, silently. The prior stays outside the quantised product: its long tail would
take the whole range of a per-tensor scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
RESCORED = 128
BLOCK = 64
# Under this size one TopK over all scores is faster than two over blocks.
BLOCK_MAX_FROM = 10_000
STATE_LEVELS = 63.0
TABLE_LEVELS = 127.0


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
    n_items = len(vectors)
    _base(graph, vectors)
    _addends(graph, n_items)
    graph.node("Max", ["count", graph.constant("rescored", [RESCORED])], "wanted")
    graph.node("Min", ["wanted", graph.constant("n_items", [n_items])], "candidates")
    if n_items >= BLOCK_MAX_FROM:
        _select_by_blocks(graph, n_items)
    else:
        graph.node("TopK", ["full", "candidates"], "best_full", "best", sorted=0)
    graph.constants.append(_external("vectors", vectors, path.parent / vectors_file))
    _rescore(graph, vectors.shape[1])
    onnx.save(_model(graph, vectors.shape[1]), path)


def _base(graph: _Graph, vectors: NDArray[np.float32]) -> None:
    """Approximate scores of all items, padded to whole blocks."""
    dim = vectors.shape[1] - 1
    padded = np.zeros((-(-len(vectors) // BLOCK) * BLOCK, dim + 1), dtype=np.float32)
    padded[: len(vectors)] = vectors
    scale = np.float32(max(float(np.abs(padded[:, :dim]).max()), 1e-12) / TABLE_LEVELS)
    table = np.round(padded[:, :dim] / scale).astype(np.int8)

    graph.constant("zero", [0])
    graph.constant("dim", [dim])
    graph.constant("flat", [-1])
    graph.node("Slice", ["user_state", "zero", "dim"], "weights")
    graph.node("Slice", ["user_state", "dim", graph.constant("state_dim", [dim + 1])], "prior_scale")
    graph.node("Reshape", ["weights", graph.constant("one_row", [1, dim])], "weights_row")
    graph.node("ReduceMax", [graph.node("Abs", ["weights_row"], "magnitudes")], "largest", keepdims=0)
    graph.node("Max", ["largest", graph.constant("tiny", np.float32(1e-12))], "range")
    graph.node("Div", ["range", graph.constant("state_levels", np.float32(STATE_LEVELS))], "state_step")
    graph.constant("state_zero", np.uint8(64))
    graph.node("QuantizeLinear", ["weights_row", "state_step", "state_zero"], "state_int8")
    graph.constant("table", table.T)
    graph.constant("table_zero", np.int8(0))
    graph.node("MatMulInteger", ["state_int8", "table", "state_zero", "table_zero"], "products")
    graph.node("Cast", ["products"], "products_float", to=TensorProto.FLOAT)
    graph.node("Mul", ["state_step", graph.constant("table_step", scale)], "step")
    graph.node("Mul", ["products_float", "step"], "dense_row")
    graph.node("Reshape", ["dense_row", "flat"], "dense")
    graph.node("Mul", [graph.constant("prior", padded[:, dim]), "prior_scale"], "scaled_prior")
    graph.node("Add", ["dense", "scaled_prior"], "base")


def _addends(graph: _Graph, n_items: int) -> None:
    """Add up the addends of each row; the padding of the last block is excluded the same way."""
    padding = np.arange(n_items, -(-n_items // BLOCK) * BLOCK)
    rows, values = "addend_rows", "addends"
    if len(padding):
        graph.constant("padding_rows", padding)
        graph.constant("padding_addends", np.full(len(padding), -np.inf, dtype=np.float32))
        rows = graph.node("Concat", [rows, "padding_rows"], "all_rows", axis=0)
        values = graph.node("Concat", [values, "padding_addends"], "all_addends", axis=0)
    graph.node("ScatterElements", ["base", rows, values], "full", axis=0, reduction="add")


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


def _rescore(graph: _Graph, state_dim: int) -> None:
    """Replace the quantised part of the best items' scores by the exact one, and sort."""
    graph.node("Gather", ["vectors", "best"], "best_vectors", axis=0)
    graph.node("Reshape", ["user_state", graph.constant("column", [state_dim, 1])], "state_column")
    graph.node("Reshape", [graph.node("MatMul", ["best_vectors", "state_column"], "exact_column"), "flat"], "exact")
    graph.node("Sub", ["exact", graph.node("Gather", ["base", "best"], "best_base")], "correction")
    graph.node("Add", ["best_full", "correction"], "corrected")
    graph.node("Min", ["count", "candidates"], "returned")
    graph.node("TopK", ["corrected", "returned"], "scores", "order")
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
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
