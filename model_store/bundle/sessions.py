"""The four graphs of a bundle as typed calls: the one place that knows their inputs and outputs.

    adapt.onnx         vectors (B, S, state_dim), values (B, S), ages (B, S), mask (B, S),
                       attribute_ids int64 (B, A), attribute_weights (B, A)           → user_state (B, state_dim)
    vote.onnx          neighbour_rows int32 (E, M), neighbour_weights (E, M), values (E,), ages (E,),
                       users int64 (E,), shots (B,)           → addend_users, addend_rows int64 (A,), addends (A,)
    score.onnx         user_state (B, state_dim), addend_users, addend_rows int64 (A,), addends (A,),
                       count int64 (1,)                       → rows int64 (B, count), scores (B, count)
    encode_item.onnx   feature_ids int64 (F,), feature_weights (F,)                   → item_vector (state_dim,)

The score.onnx of an approximate bundle takes one user, and of the catalogue only candidates: what ``index`` finds for
the user, and every row that an addend names, each once:

    score.onnx         user_state (1, state_dim), candidates int64 (C,), addends (C,), count int64 (1,)
                                                              → rows int64 (1, count), scores (1, count)

float32 where nothing else stands. B users adapt together, each with at most S events, S ≥ 1; ``values`` on the data's
own scale; ``ages`` in days before the user's most recent event (0 where there is no time); ``mask`` is 1 for an event
and 0 for padding, so that it is 0 everywhere for a user without events. Attributes are encoded by ``attributes``; an
adapt.onnx that makes nothing of them need not have their two inputs, and that of an older bundle has no axis B and
takes one user at a time. B users are voted for and scored in one batch of E events: ``users`` says whose each is,
``shots`` how many each has; one event may stand for a user with shots 0. Addends of one user and row add up; −inf
excludes the row. No bit of a user's result depends on the others of the batch, as supports are padded by ``support``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model_store.bundle.allowed import AllowedRows
from model_store.bundle.candidates import INDEX_FILE, Index
from model_store.bundle.support import Support
from model_store.errors import BundleDamaged

GRAPH_FILES = ("adapt.onnx", "vote.onnx", "score.onnx", "encode_item.onnx")
# Their inputs come in ever new sizes. onnxruntime would keep a plan of the memory for each size it has met, which made
# a service grow without end and no run faster.
EVER_NEW_SIZES = ("vote.onnx", "score.onnx")

Float = NDArray[np.float32]
Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Addends:
    """Numbers to add to the scores of single items, for a batch of users.

    Attributes:
        users: int64 (A,), index of the user in the batch.
        rows: int64 (A,), row of the catalogue.
        values: float32 (A,); −inf excludes the row.
    """

    users: Int
    rows: Int
    values: Float

    def of(self, user: int) -> Addends:
        """The addends of one user, as a batch of one."""
        matches = self.users == user
        return Addends(np.zeros(int(matches.sum()), dtype=np.int64), self.rows[matches], self.values[matches])

    def __add__(self, other: Addends) -> Addends:
        """Both, for the same batch."""
        return Addends(
            np.concatenate([self.users, other.users]),
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.values, other.values]),
        )


def open_session(path: Path, *, threads: int = 1) -> ort.InferenceSession:
    """Open one graph on the CPU with ``threads`` intra-op threads.

    Raises:
        BundleDamaged: onnxruntime does not take the file.
    """
    _share_scratch()
    options = ort.SessionOptions()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_mem_pattern = path.name not in EVER_NEW_SIZES
    # One small graph a call: threads that spin between calls would only take the core from the event loop.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        # onnxruntime computes wrong numbers for Transpose(X) @ v fused into FusedMatMul (seen in 1.32).
        return ort.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["MatmulTransposeFusion"],
        )
    except Exception as exc:  # onnxruntime raises a family of its own classes without a common public base
        raise BundleDamaged(f"{path}: onnxruntime does not load it ({exc})") from exc


@cache
def _share_scratch() -> None:
    """Have all graphs work in the same memory, the one after the other.

    One that votes and one that scores each need a number for every user and item: apart they take twice the memory,
    and 15% longer, since neither finds its own in the processor's caches.
    """
    of_cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(of_cpu, ort.OrtArenaCfg({}))


def _leaves_no_scratch() -> ort.RunOptions:
    """For runs of sizes that may not come again: memory that nothing is in goes back to the system afterwards."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


class Graphs:
    """The sessions of one bundle; every call is thread-safe and pure.

    Attributes:
        index: what finds candidates for ``score.onnx``; None where that reads the whole catalogue.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """Open all four graphs of ``folder``, and its index where ``score.onnx`` wants candidates."""
        self._sessions = {name: open_session(folder / name, threads=threads) for name in GRAPH_FILES}
        self._adapt, self._vote, self._score, self._encode = (self._sessions[name].run for name in GRAPH_FILES)
        self._uses_attributes = "attribute_ids" in self._inputs("adapt.onnx")
        self._adapts_batches = len(self._inputs("adapt.onnx")["mask"]) > 1
        self.index = Index(folder / INDEX_FILE) if "candidates" in self._inputs("score.onnx") else None

    def adapt(self, vectors: Float, support: Support) -> Float:
        """The inner loop: ``user_state`` float32 (B, state_dim) of the users of ``support``.

        Args:
            vectors: float32 (B, S, state_dim), item vectors of the support's rows.
            support: supports and attributes of B users.
        """
        inputs = self.adapt_inputs(vectors, support)
        if self._adapts_batches:
            states: Float = self._adapt(["user_state"], inputs)[0]
            return states
        users = ({name: array[user] for name, array in inputs.items()} for user in range(len(support)))
        return np.stack([self._adapt(["user_state"], user)[0] for user in users])

    def adapt_inputs(self, vectors: Float, support: Support) -> dict[str, NDArray[Any]]:
        """The inputs of ``adapt.onnx``; a graph that uses no attributes has no inputs for them."""
        inputs: dict[str, NDArray[Any]] = {
            "vectors": vectors,
            "values": support.values,
            "ages": support.ages,
            "mask": support.mask,
        }
        if not self._uses_attributes:
            return inputs
        return inputs | {"attribute_ids": support.attribute_ids, "attribute_weights": support.attribute_weights}

    def vote(self, inputs: dict[str, NDArray[Any]]) -> Addends:
        """The votes of the neighbours of a batch's events; inputs by name, as the module's docstring lists them."""
        return Addends(*self._vote(["addend_users", "addend_rows", "addends"], inputs))

    def score(
        self, user_states: Float, addends: Addends, count: int, allowed: AllowedRows | None = None
    ) -> tuple[Int, Float]:
        """The best ``count`` rows of the catalogue for each user and their scores, (B, count), best first.

        Excluded rows score −inf and are the last ones.

        Args:
            user_states: float32 (B, state_dim).
            addends: of all B users.
            count: length of the lists.
            allowed: rows that the list of a single user may hold; None allows all.
        """
        if self.index is None or len(user_states) == 1:
            inputs = self.score_inputs(user_states, addends, count, allowed)
            rows, scores = self._score(["rows", "scores"], inputs)
            return rows, scores
        lists = [self.score(state[None], addends.of(user), count) for user, state in enumerate(user_states)]
        # The candidates of a user can be fewer than ``count``.
        length = min(rows.shape[1] for rows, _ in lists)
        return np.concatenate([rows[:, :length] for rows, _ in lists]), np.concatenate(
            [s[:, :length] for _, s in lists]
        )

    def score_inputs(
        self, user_states: Float, addends: Addends, count: int, allowed: AllowedRows | None = None
    ) -> dict[str, NDArray[Any]]:
        """The inputs of ``score.onnx``; that of an approximate bundle takes one user, and candidates."""
        inputs: dict[str, NDArray[Any]] = {"user_state": user_states, "count": np.array([count], dtype=np.int64)}
        if self.index is not None:
            candidates, sums = self.index.candidates(user_states, addends.rows, addends.values, count, allowed)
            return inputs | {"candidates": candidates, "addends": sums}
        if allowed is not None:
            excluded = allowed.excluded
            values = np.full(len(excluded), -np.inf, dtype=np.float32)
            addends += Addends(np.zeros(len(excluded), dtype=np.int64), excluded, values)
        return inputs | {"addend_users": addends.users, "addend_rows": addends.rows, "addends": addends.values}

    def encode_item(self, feature_ids: Int, feature_weights: Float) -> Float:
        """Features of an item → its vector, float32 (state_dim,)."""
        feed = {"feature_ids": feature_ids, "feature_weights": feature_weights}
        vector: Float = self._encode(["item_vector"], feed)[0]
        return vector

    def run(self, graph: str, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run one graph, or search the index, by file name with named arrays; for golden cases and parity."""
        if graph == INDEX_FILE and self.index is not None:
            rows, products = self.index.search(inputs["user_state"], int(inputs["count"][0]))
            return {"rows": rows, "products": products}
        session = self._sessions[graph]
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, inputs, _leaves_no_scratch()), strict=True))

    def _inputs(self, graph: str) -> dict[str, list[Any]]:
        """Name → shape, with names for free axes."""
        return {argument.name: argument.shape for argument in self._sessions[graph].get_inputs()}

    def signatures(self) -> dict[str, dict[str, str]]:
        """Graph → input or output → "type shape", as the sessions report them."""
        return {
            name: {arg.name: f"{arg.type} {arg.shape}" for arg in (*session.get_inputs(), *session.get_outputs())}
            for name, session in self._sessions.items()
        }
