"""ONNX graphs written node by node, because a tracer writes slower ones: the two forms of ``score.onnx``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
# Bytes from which a constant gets a file.
LARGE = 1 << 20


class Nodes:
    """Nodes and constants of a graph, in the order they are added; a value is known by its name."""

    def __init__(self, beside: Path | None = None) -> None:
        """With ``beside``, the graph's file, large constants become mapped files next to it."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._beside = beside

    def constant(self, name: str, value: NDArray[Any] | np.generic | list[int]) -> str:
        """Add a constant and return its name; lists become int64."""
        array = np.asarray(value, dtype=np.int64 if isinstance(value, list) else None)
        array = np.ascontiguousarray(array).reshape(array.shape)
        if self._beside is not None and array.nbytes >= LARGE:
            file = self._beside.with_suffix(f".{name}.npy")
            np.save(file, array)
            self.constants.append(external_array(name, array, file))
        else:
            self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, op: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add an operator and return the name of its first output."""
        self.nodes.append(helper.make_node(op, inputs, list(outputs), **attributes))
        return outputs[0]


def shared_buffer(*names: str) -> list[onnx.ValueInfoProto]:
    """Types of flat float32 values that may share one buffer, in which every value is the input of the next.

    onnxruntime overwrites the input if both sizes have the same name, and copies it otherwise.
    """
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["as_large"]) for name in names]


def external_array(name: str, array: NDArray[Any], file: Path) -> onnx.TensorProto:
    """A constant whose numbers are in an ``.npy`` file, after its header."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor = TensorProto(name=name, data_type=kind, dims=array.shape, data_location=TensorProto.EXTERNAL)
    offset = file.stat().st_size - array.nbytes
    for key, value in (("location", file.name), ("offset", offset), ("length", array.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor
