"""``score.onnx`` of an approximate bundle: exact scores of candidates, which are what an index found and addends name.

    score = w · v in float32 + addend           of each candidate
    list  = top count of them

So votes, boosts and exclusions are exact; only an item that neither the index finds nor an addend names can be missed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from model_store.export.nodes import OPSET, Nodes, external_array


def export_score_candidates(path: Path, vectors: NDArray[np.float32], vectors_file: str) -> None:
    """Write ``score.onnx`` for a catalogue with an index; arguments as for ``score.export_score``."""
    graph = Nodes()
    graph.constants.append(external_array("vectors", vectors, path.parent / vectors_file))
    graph.constant("flat", [-1])
    graph.node("Gather", ["vectors", "candidates"], "candidate_vectors", axis=0)
    graph.node("Reshape", ["user_state", graph.constant("as_column", [-1, 1])], "state_column")
    graph.node("MatMul", ["candidate_vectors", "state_column"], "products")
    graph.node("Add", [graph.node("Reshape", ["products", "flat"], "product"), "addends"], "score")
    graph.node("Unsqueeze", ["score", graph.constant("user", [0])], "scores_of_user")
    graph.node("Min", ["count", graph.node("Shape", ["candidates"], "n_candidates")], "returned")
    graph.node("TopK", ["scores_of_user", "returned"], "scores", "best", axis=1)
    graph.node("Gather", ["candidates", "best"], "rows", axis=0)
    onnx.save(_model(graph, vectors.shape[1]), path)


def _model(graph: Nodes, state_dim: int) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("user_state", TensorProto.FLOAT, [1, state_dim]),
        helper.make_tensor_value_info("candidates", TensorProto.INT64, ["candidates"]),
        helper.make_tensor_value_info("addends", TensorProto.FLOAT, ["candidates"]),
        helper.make_tensor_value_info("count", TensorProto.INT64, [1]),
    ]
    outputs = [
        helper.make_tensor_value_info("rows", TensorProto.INT64, [1, "returned"]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, "returned"]),
    ]
    body = helper.make_graph(graph.nodes, "score", inputs, outputs, initializer=graph.constants)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
