"""The graphs that come out of torch: adapt, vote, encode_item. There is no second copy of their formulas."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from model_store.errors import ExportRefused
from model_store.meta.inner import InnerLoop
from model_store.meta.memory import VoteGate
from model_store.meta.network import ItemEncoder

OPSET = 20
EXAMPLE_SUPPORT = 7  # the tracer would take 0 and 1 for constants


class Adapt(nn.Module):
    """One user through the inner loop: (S, D), (S,), (S,), (S,) → (D,)."""

    def __init__(self, inner: InnerLoop) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, vectors: Tensor, values: Tensor, ages: Tensor, mask: Tensor) -> Tensor:
        """A batch of one."""
        state: Tensor = self.inner(vectors.unsqueeze(0), values.unsqueeze(0), ages.unsqueeze(0), mask.unsqueeze(0))
        return state.squeeze(0)


class Vote(nn.Module):
    """The neighbours of one user's events: (S, M), (S, M), (S,), (S,), (S,) → (S·M,), (S·M,)."""

    def __init__(self, gate: VoteGate) -> None:
        super().__init__()
        self.gate = gate

    def forward(
        self, neighbour_rows: Tensor, neighbour_weights: Tensor, values: Tensor, ages: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """A batch of one."""
        batch = (each.unsqueeze(0) for each in (neighbour_rows, neighbour_weights, values, ages, mask))
        rows, addends = self.gate(*batch)
        return rows.squeeze(0), addends.squeeze(0)


def export_adapt(path: Path, inner: InnerLoop, state_dim: int) -> None:
    """Write ``adapt.onnx``."""
    example = {"vectors": torch.ones(EXAMPLE_SUPPORT, state_dim), **_example_support()}
    _export(path, Adapt(inner), example, ["user_state"])


def export_vote(path: Path, gate: VoteGate, neighbours: int) -> None:
    """Write ``vote.onnx``."""
    example = {
        "neighbour_rows": torch.zeros(EXAMPLE_SUPPORT, neighbours, dtype=torch.int32),
        "neighbour_weights": torch.ones(EXAMPLE_SUPPORT, neighbours),
        **_example_support(),
    }
    _export(path, Vote(gate), example, ["addend_rows", "addends"])


def export_encode_item(path: Path, encoder: ItemEncoder) -> None:
    """Write ``encode_item.onnx``."""
    example = {
        "feature_ids": torch.zeros(EXAMPLE_SUPPORT, dtype=torch.int64),
        "feature_weights": torch.ones(EXAMPLE_SUPPORT),
    }
    _export(path, encoder, example, ["item_vector"])


def _example_support() -> dict[str, Tensor]:
    """A tensor for each name: the tracer would take one tensor under three names for one input."""
    return {name: torch.ones(EXAMPLE_SUPPORT) for name in ("values", "ages", "mask")}


def _export(path: Path, module: nn.Module, example: dict[str, Tensor], outputs: list[str]) -> None:
    """Export with a free first axis on every input, however long the list of events or features."""
    events = torch.export.Dim("events", min=1)
    shapes = {name: {0: events} for name in example}
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
                external_data=False,
                verbose=False,
            )
    except Exception as exc:  # the exporter raises whatever the pass at fault raises
        raise ExportRefused(f"{path.name}: torch does not export it ({exc})") from exc


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
