"""``score.onnx`` of an approximate bundle: exact scores of what an index found and of the rows that addends name.

    places = candidates and addend_rows as user · n_items + row, sorted         equal places stand side by side
    score  = w · v in float32 + the sum of the addends of a place               once for each place
    lists  = top count of each user's places

So votes, boosts and exclusions are exact; only an item that neither the index finds nor an addend names can be missed.
Nothing here is as long as the catalogue.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from model_store.export.nodes import Nodes, external_array, score_model


def export_score_candidates(path: Path, vectors: NDArray[np.float32], vectors_file: str) -> None:
    """Write ``score.onnx`` for a catalogue with an index; arguments as for ``score.export_score``."""
    graph = Nodes()
    graph.constant("flat", [-1])
    graph.constant("column", [-1])
    graph.constant("row", [0])
    graph.constant("one", np.int64(1))
    graph.constant("none", np.int64(0))
    graph.constant("n_items", np.int64(len(vectors)))
    graph.constant("excluded", np.float32(-np.inf))
    graph.constants.append(external_array("vectors", vectors, path.parent / vectors_file))
    _places(graph)
    _addends_of_places(graph)
    _exact(graph)
    _lists(graph)
    onnx.save(score_model(graph, vectors.shape[1], candidates=True), path)


def _places(graph: Nodes) -> None:
    """All places (N,), sorted, and what is added at each."""
    graph.node("Shape", ["user_state"], "state_shape")
    graph.node("Gather", ["state_shape", "none"], "n_users")
    graph.node("Unsqueeze", [graph.node("Range", ["none", "n_users", "one"], "users"), "column"], "users_column")
    graph.node("Mul", ["users_column", "n_items"], "first_places")
    graph.node("Reshape", [graph.node("Add", ["candidates", "first_places"], "found"), "flat"], "found_places")
    graph.node("Add", [graph.node("Mul", ["addend_users", "n_items"], "starts"), "addend_rows"], "named_places")
    graph.node("Concat", ["found_places", "named_places"], "places_unsorted", axis=0)
    # A tensor of zeros, one for each candidate.
    graph.node("ConstantOfShape", [graph.node("Shape", ["found_places"], "n_found")], "no_addends")
    graph.node("Concat", ["no_addends", "addends"], "addends_unsorted", axis=0)
    graph.node("Shape", ["places_unsorted"], "n_places")
    graph.node("TopK", ["places_unsorted", "n_places"], "places", "order", axis=0, largest=0)
    graph.node("GatherElements", ["addends_unsorted", "order"], "addends_sorted", axis=0)


def _addends_of_places(graph: Nodes) -> None:
    """The sum of the addends of equal places (N,), at each of them, and which of them is the first."""
    graph.constant("last", [-1])
    graph.node("Slice", ["places", "row", "last"], "all_but_last")
    graph.node("Concat", [graph.constant("before_all", [-1]), "all_but_last"], "place_before", axis=0)
    graph.node("Not", [graph.node("Equal", ["places", "place_before"], "is_repeated")], "is_first")
    graph.node("CumSum", [graph.node("Cast", ["is_first"], "firsts", to=onnx.TensorProto.INT64), "none"], "run_from_1")
    graph.node("Sub", ["run_from_1", "one"], "run")
    graph.node("ConstantOfShape", ["n_places"], "nothing")
    graph.node("ScatterElements", ["nothing", "run", "addends_sorted"], "run_sums", axis=0, reduction="add")
    graph.node("GatherElements", ["run_sums", "run"], "addend", axis=0)


def _exact(graph: Nodes) -> None:
    """The score of each place (N,), −inf where it is repeated."""
    graph.node("Div", ["places", "n_items"], "place_user")
    graph.node("Mod", ["places", "n_items"], "place_row")
    graph.node("Gather", ["vectors", "place_row"], "place_vectors", axis=0)
    graph.node("Gather", ["user_state", "place_user"], "place_states", axis=0)
    graph.node("Mul", ["place_vectors", "place_states"], "products")
    graph.node("ReduceSum", ["products", "column"], "product", keepdims=0)
    graph.node("Where", ["is_first", graph.node("Add", ["product", "addend"], "exact"), "excluded"], "score")


def _lists(graph: Nodes) -> None:
    """The best places of each user; those of others and repeated ones stand last, as excluded."""
    graph.node("Equal", ["users_column", graph.node("Unsqueeze", ["place_user", "row"], "place_users")], "is_own")
    graph.node("Unsqueeze", ["score", "row"], "score_row")
    graph.node("Where", ["is_own", "score_row", "excluded"], "scores_by_user")
    graph.node("Min", ["count", "n_places"], "returned")
    graph.node("TopK", ["scores_by_user", "returned"], "scores", "best", axis=1)
    graph.node("Gather", ["place_row", "best"], "rows", axis=0)
