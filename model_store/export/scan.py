"""The int8 scan of ``score.onnx``: products of users with all items, in one of two layouts.

    In one piece   table (dim, n), which onnxruntime packs in memory; products user by user. While the table fits the
                   processor's caches, eight users take hardly longer than one.
    In panels      table (panels, dim + c, 128) in a mapped file, shared by all workers; products panel by panel. For
                   a table larger than the caches, one user takes half the time of a table in one piece.

A user's state has levels −127 to 127 and an item's vector −64 to 64, so that the sum of two products fits int16: the
AVX2 kernels for u8 × s8 saturate there without an error. The kernels take the state as s + 127.

onnxruntime (MLAS, 1.32) uses its vector kernel for one user and an unpacked table only if the state has no zero point.
That kernel takes 1.2 times as long as a read of the table. A panel therefore has c more rows. The state is extended by
254 for these rows, by 127 for the last, and their products cancel the added 127:

    Σ (s + 127) · v + Σ 254 · e + 127 · f = Σ s · v      where      2 Σ e + f = −Σ v
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from model_store.export.nodes import Nodes

# Operators of onnxruntime: product and conversion in one pass; the standard operators take three.
CONTRIB = "com.microsoft"

BLOCK = 64
# A panel of 128 fits the first cache; a panel of 256 takes a third longer, wider ones twice as long.
PANEL = 128
STATE_LEVELS = 127
TABLE_LEVELS = 64  # 2 · 64 · 254 < 2¹⁵

Float = NDArray[np.float32]


class Scan(Protocol):
    """A layout of the table: computes the products and locates those of a user.

    Attributes:
        table_step: size of one level of the table, in the scale of the vectors.
    """

    table_step: np.float32

    def multiply(self, graph: Nodes) -> None:
        """Add ``dense_flat``: the products of the whole numbers ``state_whole`` (B, dim) and the table."""

    def locate(self, graph: Nodes) -> None:
        """Add ``places``: positions in ``scan`` of the items ``row_places`` of ``addend_users``."""

    def maxima(self, graph: Nodes) -> None:
        """Add ``maxima`` (B, n_blocks): the largest number of ``scan`` per block."""

    def chosen(self, graph: Nodes) -> None:
        """Add ``scans`` (B, chosen, 64): the numbers of ``scan`` in ``best_blocks`` (B, chosen)."""


class InOnePiece:
    """One product of all users and items; scores are (B, n_items)."""

    def __init__(self, vectors: Float) -> None:
        """Build the table of ``vectors`` float32 (n_items, dim); n_items is a multiple of the block size."""
        self.n_items = len(vectors)
        self.table_step = _largest(vectors) / np.float32(TABLE_LEVELS)
        self._table = _whole_levels(vectors, self.table_step)

    def multiply(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        _quantise(graph, "state_whole")
        graph.constant("table", self._table.T)
        graph.constant("table_zero", np.int8(0))
        product = ["state_uint8", "table", "one_level", "one_level", "state_zero", "table_zero"]
        graph.node("MatMulIntegerToFloat", product, "dense", domain=CONTRIB)
        graph.node("Reshape", ["dense", "flat"], "dense_flat")

    def locate(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        graph.node("Mul", ["addend_users", graph.constant("n_padded", [self.n_items])], "first_places")
        graph.node("Add", ["first_places", "row_places"], "places")

    def maxima(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        shape = graph.constant("block_shape", [-1, self.n_items // BLOCK, BLOCK])
        graph.node("Reshape", ["scan", shape], "blocks")
        graph.node("ReduceMax", ["blocks", graph.constant("within", [2])], "maxima", keepdims=0)

    def chosen(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        graph.node("Unsqueeze", ["best_blocks", "column"], "block_index")
        graph.node("GatherND", ["blocks", "block_index"], "scans", batch_dims=1)


class InPanels:
    """One product per panel and user; scores are (panels, B, 128)."""

    def __init__(self, vectors: Float) -> None:
        """Build the table of ``vectors`` float32 (n_items, dim); n_items is a multiple of the panel size."""
        n_items, dim = vectors.shape
        self.n_panels = n_items // PANEL
        self.cancelling = 4 * -(-dim // 64)
        sums = np.abs(vectors.sum(axis=1)).max()
        # Largest sum that the cancelling rows can hold, less the rounding errors of a sum.
        largest_sum = TABLE_LEVELS * (2 * self.cancelling - 1) - dim / 2
        self.table_step = max(_largest(vectors) / np.float32(TABLE_LEVELS), np.float32(sums / largest_sum))
        levels = _whole_levels(vectors, self.table_step)
        rows = np.concatenate([levels, _cancelling(levels, self.cancelling)], axis=1)
        self.table = rows.reshape(self.n_panels, 1, PANEL, -1).swapaxes(2, 3)

    def multiply(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        graph.constant("most_state", np.float32(STATE_LEVELS))
        twice, once = graph.constant("twice", [0, 0, 0, self.cancelling - 1]), graph.constant("once", [0, 0, 0, 1])
        graph.node("Pad", ["state_whole", twice, "most_state"], "state_and_twice")
        graph.node("Pad", ["state_and_twice", once], "state_and_all")
        _quantise(graph, "state_and_all")
        graph.node("Unsqueeze", ["state_uint8", graph.constant("a_product_each", [0, 2])], "state_by_user")
        graph.node("MatMulInteger", ["state_by_user", graph.constant("table", self.table)], "dense_int32")
        graph.node("Cast", ["dense_int32"], "dense", to=TensorProto.FLOAT)
        graph.node("Reshape", ["dense", "flat"], "dense_flat")

    def locate(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        graph.node("Shape", ["user_state"], "users", start=0, end=1)
        graph.node("Sub", ["users", graph.constant("itself", [1])], "other_users")
        self._stored(graph, "row_places", "addend_users", graph.constant("panel", [PANEL]), "places")

    def maxima(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        graph.node("Reshape", ["scan", graph.constant("block_shape", [-1, BLOCK])], "blocks")
        graph.node("ReduceMax", ["blocks", graph.constant("within", [1])], "block_maxima", keepdims=0)
        by_panel = graph.constant("by_panel", [self.n_panels, -1, PANEL // BLOCK])
        graph.node("Reshape", ["block_maxima", by_panel], "panel_maxima")
        graph.node("Transpose", ["panel_maxima"], "user_maxima", perm=[1, 0, 2])
        by_user = graph.constant("maxima_by_user", [-1, self.n_panels * PANEL // BLOCK])
        graph.node("Reshape", ["user_maxima", by_user], "maxima")

    def chosen(self, graph: Nodes) -> None:
        """See :class:`Scan`."""
        start, end, step = graph.constant("first_user", np.int64(0)), "n_users", graph.constant("next", np.int64(1))
        graph.node("Squeeze", ["users"], end)
        graph.node("Unsqueeze", [graph.node("Range", [start, end, step], "each_user"), "column"], "user_column")
        self._stored(
            graph, "best_blocks", "user_column", graph.constant("panel_blocks", [PANEL // BLOCK]), "block_index"
        )
        graph.node("Gather", ["blocks", "block_index"], "scans", axis=0)

    def _stored(self, graph: Nodes, numbers: str, users: str, size: str, stored: str) -> None:
        """Add ``stored``: positions of the items or blocks ``numbers`` of ``users``; a panel has ``size`` of them."""
        panels = graph.node("Div", [numbers, size], f"{stored}_panel")
        before = graph.node("Mul", [panels, "other_users"], f"{stored}_of_others")
        runs = graph.node("Add", [before, users], f"{stored}_run")
        graph.node("Add", [numbers, graph.node("Mul", [runs, size], f"{stored}_skipped")], stored)


def _quantise(graph: Nodes, state: str) -> None:
    """Add ``state_uint8``: the state as the kernels take it."""
    graph.constant("one_level", np.float32(1))
    graph.constant("state_zero", np.uint8(STATE_LEVELS))
    graph.node("QuantizeLinear", [state, "one_level", "state_zero"], "state_uint8")


def _largest(vectors: Float) -> np.float32:
    return np.float32(max(float(np.abs(vectors).max()), 1e-12))


def _whole_levels(vectors: Float, table_step: np.float32) -> NDArray[np.int8]:
    return np.round(vectors / table_step).astype(np.int8)


def _cancelling(levels: NDArray[np.int8], count: int) -> NDArray[np.int8]:
    """int8 (n_items, count): e of the module's formula, spread evenly over the columns, and f in the last column."""
    missing = -levels.sum(axis=1, dtype=np.int64)
    once = np.clip(missing, -TABLE_LEVELS, TABLE_LEVELS)
    once -= (missing - once) % 2 * np.sign(once)
    halves = (missing - once) // 2
    shares = (halves[:, None] + np.arange(count - 1)) // (count - 1)
    return np.concatenate([shares, once[:, None]], axis=1).astype(np.int8)
