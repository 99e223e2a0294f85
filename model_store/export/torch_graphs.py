"""The graphs that come out of torch: adapt, vote, encode_item. There is no second copy of their formulas."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model_store.errors import ExportRefused
from model_store.export.nodes import in_one_place
from model_store.meta.inner import Adaptation
from model_store.meta.network import ItemEncoder, Network

OPSET = 20
# Sizes to trace with; 0 and 1 would be taken for constants.
EXAMPLE_SUPPORT = 7
EXAMPLE_BATCH = 3
EXAMPLE_ATTRIBUTES = 5
# Numbers that onnxruntime takes the logarithm of at once; the widest vectors that processors have.
LANES = 16

Translations = dict[Callable[..., Any], Callable[..., Any]]

op: Any = onnxscript.opset20  # its types know no scalars


def steady_log1p(x: Any) -> Any:
    """log(1 + x), where a number's result does not depend on its place.

    onnxruntime gives whole vectors of numbers to one logarithm and the few that are left over to another, which
    differs in the last bit. Padding takes their place, so that a user's votes are the same bits in any batch. Supports
    side by side, whose sizes are free along two axes, are whole vectors already: see ``bundle.graphs.padded``.
    """
    axis, *more = (axis for axis, size in enumerate(x.shape) if not isinstance(size, int))  # all others are known
    if more:
        return op.Log(op.Add(x, 1.0))
    others = [size for size in x.shape if isinstance(size, int)]
    length = math.ceil((LANES - 1) / math.prod(others))
    padding = np.zeros((*others[:axis], length, *others[axis:]), dtype=np.float32)
    padded = op.Concat(x, op.Constant(value=numpy_helper.from_array(padding)), axis=axis)
    start, end, along = (op.Constant(value_ints=[each]) for each in (0, -length, axis))
    return op.Slice(op.Log(op.Add(padded, 1.0)), start, end, along)


STEADY: Translations = {torch.ops.aten.log1p.default: steady_log1p}


class Vote(nn.Module):
    """All memories: their lists stand side by side, the conditional one's first."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.gate, self.linear = network.gate, network.linear
        self.split = [network.neighbour_rows.shape[1], network.linear.rows.shape[1]]

    def forward(
        self,
        neighbour_rows: Tensor,
        neighbour_weights: Tensor,
        values: Tensor,
        ages: Tensor,
        users: Tensor,
        shots: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Arguments as for ``VoteGate.forward``, with the lists of all memories and int32 rows.

        Returns:
            Users int64, rows int64 and addends float32, one of each for every place of the lists.
        """
        rows = neighbour_rows.long()
        weights, linear_weights = torch.split(neighbour_weights, self.split, dim=1)
        addends = self.gate(rows[:, : self.split[0]], weights, values, ages, users, shots)
        if self.split[1]:
            known = shots.index_select(0, users).unsqueeze(1)
            linear = self.linear.addends(linear_weights, values.unsqueeze(1), known)
            addends = torch.cat([addends, linear], dim=1)
        return users.unsqueeze(1).expand_as(rows).flatten(), rows.flatten(), addends.flatten()


def export_adapt(path: Path, inner: Adaptation, state_dim: int, *, knows_attributes: bool) -> None:
    """Write ``adapt.onnx``: the adaptation as it is; where the data knows no attributes, without their inputs."""
    supports, known = (EXAMPLE_BATCH, EXAMPLE_SUPPORT), (EXAMPLE_BATCH, EXAMPLE_ATTRIBUTES)
    example = {
        "vectors": torch.ones(*supports, state_dim),
        # A tensor for each name: the tracer would take one tensor under three names for one input.
        **{name: torch.ones(supports) for name in ("values", "ages", "mask")},
    }
    if knows_attributes:
        example |= {
            "attribute_ids": torch.zeros(known, dtype=torch.int64),
            "attribute_weights": torch.ones(known),
        }
    _export(path, inner, example, ["user_state"], STEADY, free_axes=2)


def export_vote(path: Path, network: Network) -> None:
    """Write ``vote.onnx``."""
    vote = Vote(network)
    neighbours = sum(vote.split)
    example = {
        "neighbour_rows": torch.zeros(EXAMPLE_SUPPORT, neighbours, dtype=torch.int32),
        "neighbour_weights": torch.ones(EXAMPLE_SUPPORT, neighbours),
        "values": torch.ones(EXAMPLE_SUPPORT),
        "ages": torch.ones(EXAMPLE_SUPPORT),
        "users": torch.zeros(EXAMPLE_SUPPORT, dtype=torch.int64),
        "shots": torch.ones(EXAMPLE_BATCH),
    }
    _export(path, vote, example, ["addend_users", "addend_rows", "addends"], STEADY)
    _clear_and_fill_in_place(path)


def _clear_and_fill_in_place(path: Path) -> None:
    """Mend what the exporter makes of the table of votes, which is most of the graph's time.

    It writes zeros as an Expand, at half the speed, and names no sizes.
    """
    model = onnx.load(path)
    (filled,) = (node for node in model.graph.node if node.op_type == "ScatterElements")
    (cleared,) = (node for node in model.graph.node if node.output[0] == filled.input[0])
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    cleared.CopyFrom(helper.make_node("ConstantOfShape", [cleared.input[1]], list(cleared.output), value=zero))
    places = in_one_place(cleared.output[0], filled.output[0])
    others = [value for value in model.graph.value_info if value.name not in {place.name for place in places}]
    del model.graph.value_info[:]
    model.graph.value_info.extend([*others, *places])
    onnx.save(model, path)


def export_encode_item(path: Path, encoder: ItemEncoder) -> None:
    """Write ``encode_item.onnx``."""
    example = {
        "feature_ids": torch.zeros(EXAMPLE_SUPPORT, dtype=torch.int64),
        "feature_weights": torch.ones(EXAMPLE_SUPPORT),
    }
    _export(path, encoder, example, ["item_vector"])


def _export(
    path: Path,
    module: nn.Module,
    example: dict[str, Tensor],
    outputs: list[str],
    translations: Translations | None = None,
    free_axes: int = 1,
) -> None:
    """Export with free first axes on every input: those as long as each other stay so."""
    sizes = {name: each.shape[:free_axes] for name, each in example.items()}
    free = {size: torch.export.Dim(f"length_{size}", min=1) for size in set(chain(*sizes.values()))}
    shapes = {name: {axis: free[size] for axis, size in enumerate(each)} for name, each in sizes.items()}
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                module.eval(),
                kwargs=example,
                f=str(path),
                input_names=list(example),
                output_names=outputs,
                dynamic_shapes=shapes,
                opset_version=OPSET,
                dynamo=True,
                custom_translation_table=translations,
                external_data=False,
                verbose=False,
            )
    except Exception as exc:  # the exporter raises whatever the pass at fault raises
        raise ExportRefused(f"{path.name}: torch does not export it ({exc})") from exc
    _forget_origin(path)


def _forget_origin(path: Path) -> None:
    """Drop the exporter's notes of which file and line each node is from.

    They would tell everybody the folders of the machine that trained, and give one network another version on the next.
    """
    model = onnx.load(path)
    graph = model.graph
    for noted in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        noted.ClearField("metadata_props")
        noted.ClearField("doc_string")
    onnx.save(model, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its own progress on every stream; the caller has a progress bar."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
