"""Golden cases: inputs and outputs that every reader of a bundle recomputes before it trusts the graphs.

``golden.npz`` holds arrays named ``CASE/GRAPH/in|out/NAME``, e.g. ``3/adapt.onnx/in/values``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.sessions import Graphs
from model_store.errors import BundleDamaged, GoldenMismatch

# Other processors round differently (FMA, VNNI); a wrong kernel is wrong by far more than this.
TOLERANCE = 1e-3

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class GoldenCase:
    """One run of one graph."""

    graph: str
    inputs: Arrays
    outputs: Arrays


def write_golden(path: Path, cases: list[GoldenCase]) -> None:
    """Write ``cases`` to ``path``."""
    arrays: Arrays = {}
    for number, case in enumerate(cases):
        for side, named in (("in", case.inputs), ("out", case.outputs)):
            arrays |= {f"{number}/{case.graph}/{side}/{name}": array for name, array in named.items()}
    np.savez_compressed(path, allow_pickle=False, **arrays)


def read_golden(path: Path) -> list[GoldenCase]:
    """Read the cases of a bundle; raises BundleDamaged where the file is not one."""
    cases: dict[str, GoldenCase] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                number, graph, side, name = key.split("/")
                case = cases.setdefault(number, GoldenCase(graph, {}, {}))
                (case.inputs if side == "in" else case.outputs)[name] = arrays[key]
    except (OSError, ValueError, BadZipFile) as exc:
        raise BundleDamaged(f"{path}: not a file of golden cases ({exc})") from exc
    return list(cases.values())


def check_golden(folder: Path, graphs: Graphs) -> None:
    """Recompute every golden case of the bundle in ``folder``.

    Raises:
        GoldenMismatch: an output differs by more than the tolerance; names the case and both values.
    """
    path = folder / "golden.npz"
    cases = read_golden(path)
    if not cases:
        raise BundleDamaged(f"{path}: holds no golden cases, expected at least one")
    for number, case in enumerate(cases):
        outputs = graphs.run(case.graph, case.inputs)
        for name, expected in case.outputs.items():
            _compare(f"{path}: case {number} of {case.graph}, output {name}", outputs.get(name), expected)


def _compare(label: str, computed: NDArray[Any] | None, expected: NDArray[Any]) -> None:
    if computed is None or computed.shape != expected.shape:
        shape = None if computed is None else computed.shape
        raise GoldenMismatch(f"{label}: shape {shape}, expected {expected.shape}")
    if not np.issubdtype(expected.dtype, np.floating):
        # Rows of near ties may change places with the rounding; their scores are compared instead.
        return
    wrong = ~np.isclose(computed, expected, rtol=TOLERANCE, atol=TOLERANCE)
    if wrong.any():
        at = int(np.flatnonzero(wrong.ravel())[0])
        raise GoldenMismatch(
            f"{label}[{at}]: {computed.ravel()[at]}, expected {expected.ravel()[at]} within {TOLERANCE}"
        )
