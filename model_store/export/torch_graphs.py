"""Graphs exported from torch: adapt, vote, encode_item. Their formulas are defined in ``meta`` only."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from model_store.errors import ExportRefused
from model_store.meta.items.encoder import ItemEncoder
from model_store.meta.network import Network
from model_store.meta.parts.part import NeighbourLists, VotingEvents, user_state
from model_store.meta.supports import SupportBatch

OPSET = 20
# Sizes to trace with; the exporter would take 0 and 1 for constants.
EXAMPLE_SUPPORT = 7
EXAMPLE_BATCH = 3
EXAMPLE_ATTRIBUTES = 5
# Numbers per call of onnxruntime's vectorised logarithm, on the processors with the widest vectors.
LANES = 16

Translations = dict[Callable[..., Any], Callable[..., Any]]

op: Any = onnxscript.opset20  # its type annotations lack scalars


def steady_log1p(x: Any) -> Any:
    """log(1 + x), with the same result for a number at any position.

    onnxruntime computes full vectors of numbers by one logarithm and the remainder by another, which differs in the
    last bit. Padding fills the remainder, so that a user's votes have the same bits in any batch. Batches of supports,
    with free sizes along two axes, are full vectors already: see ``bundle.sessions.padded``.
    """
    axis, *more = (axis for axis, size in enumerate(x.shape) if not isinstance(size, int))  # free axes
    if more:
        return op.Log(op.Add(x, 1.0))
    fixed = [size for size in x.shape if isinstance(size, int)]
    length = math.ceil((LANES - 1) / math.prod(fixed))
    padding = np.zeros((*fixed[:axis], length, *fixed[axis:]), dtype=np.float32)
    padded = op.Concat(x, op.Constant(value=numpy_helper.from_array(padding)), axis=axis)
    start, end, along = (op.Constant(value_ints=[number]) for number in (0, -length, axis))
    return op.Slice(op.Log(op.Add(padded, 1.0)), start, end, along)


STEADY: Translations = {torch.ops.aten.log1p.default: steady_log1p}


class Adapt(nn.Module):
    """The state parts: support → ``user_state``."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._state_parts = network.state_parts
        self.registered = nn.ModuleList(self._state_parts)

    def forward(
        self,
        vectors: Tensor,
        values: Tensor,
        ages: Tensor,
        mask: Tensor,
        attribute_ids: Tensor | None = None,
        attribute_weights: Tensor | None = None,
    ) -> Tensor:
        """The state of each user, float32 (B, state_dim).

        Args:
            vectors: float32 (B, S, state_dim), item vectors of the support.
            values: float32 (B, S), feedback values on the data's own scale.
            ages: float32 (B, S), days before the user's most recent event.
            mask: float32 (B, S), 1 for an event and 0 for padding.
            attribute_ids: int64 (B, A), attributes of the users; None if the data has none.
            attribute_weights: float32 (B, A), 0 for padding.
        """
        supports = SupportBatch.from_vectors(vectors, values, ages, mask, attribute_ids, attribute_weights)
        return user_state(self._state_parts, supports)


class Vote(nn.Module):
    """The list parts; their lists are concatenated in the order of the parts."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._list_parts = network.list_parts
        self.registered = nn.ModuleList(self._list_parts)
        self.widths = [part.width for part in self._list_parts]

    def forward(
        self,
        neighbour_rows: Tensor,
        neighbour_weights: Tensor,
        values: Tensor,
        ages: Tensor,
        users: Tensor,
        shots: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Votes of a batch of B users as sparse addends; addends of the same user and row are summed.

        Args:
            neighbour_rows: int32 (E, M), the lists of every event of the batch.
            neighbour_weights: float32 (E, M), their weights in the bundle.
            values: float32 (E,); this and the following as in ``VotingEvents``.
            ages: float32 (E,).
            users: int64 (E,).
            shots: float32 (B,).

        Returns:
            Users int64, rows int64 and addends float32, one of each per position of the lists.
        """
        rows, events = neighbour_rows.long(), VotingEvents(values, ages, users, shots)
        ends = accumulate(self.widths)
        weights = torch.split(neighbour_weights, self.widths, dim=1)
        by_part = [
            part.addends(NeighbourLists(rows[:, end - part.width : end], part_weights), events)
            for part, part_weights, end in zip(self._list_parts, weights, ends, strict=True)
            if part.width
        ]
        addends = torch.cat(by_part, dim=1)
        return users.unsqueeze(1).expand_as(rows).flatten(), rows.flatten(), addends.flatten()


def export_adapt(path: Path, network: Network, *, has_attributes: bool) -> None:
    """Write ``adapt.onnx``; it has inputs for attributes only if ``has_attributes``."""
    batch, attributes = (EXAMPLE_BATCH, EXAMPLE_SUPPORT), (EXAMPLE_BATCH, EXAMPLE_ATTRIBUTES)
    example = {
        "vectors": torch.ones(*batch, network.encoder.vectors().shape[1]),
        # One tensor per name: the tracer would take a shared tensor for one input.
        **{name: torch.ones(batch) for name in ("values", "ages", "mask")},
    }
    if has_attributes:
        example |= {
            "attribute_ids": torch.zeros(attributes, dtype=torch.int64),
            "attribute_weights": torch.ones(attributes),
        }
    _export(path, Adapt(network), example, ["user_state"], STEADY, free_axes=2)


def export_vote(path: Path, network: Network) -> None:
    """Write ``vote.onnx``."""
    vote = Vote(network)
    neighbours = sum(vote.widths)
    example = {
        "neighbour_rows": torch.zeros(EXAMPLE_SUPPORT, neighbours, dtype=torch.int32),
        "neighbour_weights": torch.ones(EXAMPLE_SUPPORT, neighbours),
        "values": torch.ones(EXAMPLE_SUPPORT),
        "ages": torch.ones(EXAMPLE_SUPPORT),
        "users": torch.zeros(EXAMPLE_SUPPORT, dtype=torch.int64),
        "shots": torch.ones(EXAMPLE_BATCH),
    }
    _export(path, vote, example, ["addend_users", "addend_rows", "addends"], STEADY)
    _reuse_table_memory(path)


def _reuse_table_memory(path: Path) -> None:
    """Replace the exporter's nodes for the tables of votes, which take most of the graph's time.

    The exporter writes zeros as an Expand, which is half as fast, and leaves sizes unnamed.
    """
    model = onnx.load(path)
    graph = model.graph
    for number, filled in enumerate(node for node in graph.node if node.op_type == "ScatterElements"):
        (cleared,) = (node for node in graph.node if node.output[0] == filled.input[0])
        zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
        cleared.CopyFrom(helper.make_node("ConstantOfShape", [cleared.input[1]], list(cleared.output), value=zero))
        # onnxruntime reuses the memory if both sizes have the same name, and copies the table otherwise.
        tables = (cleared.output[0], filled.output[0])
        kept = [value for value in graph.value_info if value.name not in tables]
        del graph.value_info[:]
        sizes = [f"table_{number}"]
        graph.value_info.extend(
            [*kept, *(helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name in tables)]
        )
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
    """Export with ``free_axes`` free first axes per input; axes of equal example length share one free size."""
    sizes = {name: tensor.shape[:free_axes] for name, tensor in example.items()}
    free = {size: torch.export.Dim(f"length_{size}", min=1) for size in set(chain(*sizes.values()))}
    shapes = {name: {axis: free[size] for axis, size in enumerate(axes)} for name, axes in sizes.items()}
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
    except Exception as exc:  # passes of the exporter raise errors of any type
        raise ExportRefused(f"{path.name}: torch cannot export it ({exc})") from exc
    _forget_origin(path)


def _forget_origin(path: Path) -> None:
    """Drop the file and line of every node, which the exporter records.

    They would publish folders of the training machine, and make the bundle's version depend on them.
    """
    model = onnx.load(path)
    graph = model.graph
    for message in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        message.ClearField("metadata_props")
        message.ClearField("doc_string")
    onnx.save(model, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which would disturb the caller's progress bar."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
