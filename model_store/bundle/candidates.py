"""The approximate first stage of very large catalogues: an inverted file of faiss, memory-mapped.

A bundle whose ``score.onnx`` takes ``candidates`` brings ``index.faiss``: item vectors in 8 bits, in the cells of a
k-means. Those of the cells whose mean scores best for a user are candidates, and so is every row that an addend names;
the graph scores them exactly. How many cells are probed stands in the file. faiss is an extra, since exact bundles do
without.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle.allowed import AllowedRows
from model_store.errors import BundleDamaged, LibraryMissing

INDEX_FILE = "index.faiss"
# Candidates beyond the list's length: what 8 bits may have misplaced.
SLACK = 44
# So many rows that lose by an addend are made up for; those of a long support are many, and few are among the best.
MAX_LOSERS = 256
# Masks of at most so many rows need no search: scoring all of them takes about as long.
MAX_ALLOWED = 20_000

Float = NDArray[np.float32]
Int = NDArray[np.int64]


class Index:
    """Finds the items with the largest products with a user's state."""

    def __init__(self, path: Path) -> None:
        """Map the file at ``path``, whose pages all workers share.

        Raises:
            LibraryMissing: faiss is not installed.
            BundleDamaged: the file is no index.
        """
        faiss = import_faiss()
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as exc:
            raise BundleDamaged(f"{path}: faiss does not read it ({exc})") from exc
        # One user at a time: more threads would only take the cores from other requests. Without the second line every
        # search starts 32 that read ahead in the file, which is in memory.
        faiss.omp_set_num_threads(1)
        faiss.downcast_InvertedLists(self._index.invlists).prefetch_nthread = 0
        self._local = threading.local()

    @property
    def cells(self) -> int:
        """Cells that there are."""
        return int(self._index.nlist)

    @property
    def probed(self) -> int:
        """Cells that a search reads; more find more and take longer."""
        return int(self._index.nprobe)

    @probed.setter
    def probed(self, cells: int) -> None:
        self._index.nprobe = cells

    def candidates(
        self, user_state: Float, rows: Int, addends: Float, count: int, allowed: AllowedRows | None = None
    ) -> tuple[Int, Float]:
        """Candidates of a user's list, each once, and the sum of the addends of each.

        Args:
            user_state: float32 (1, state_dim).
            rows: int64 (A,), rows that addends name, some several times.
            addends: float32 (A,); −inf excludes.
            count: length of the list.
            allowed: rows that the list may hold; None allows all. All rows of a small mask are candidates.

        Returns:
            Rows int64 and sums float32, (C,) both.
        """
        excluded = int(np.isneginf(addends).sum())
        losers = min(int((addends < 0).sum()) - excluded, MAX_LOSERS)
        sought = count + excluded + losers + SLACK
        if allowed is None:
            return self._merged(np.concatenate([self.search(user_state, sought)[0][0], rows]), addends)
        kept = allowed.mask[rows]
        rows, addends = rows[kept], addends[kept]
        matches = allowed.rows if allowed.count <= MAX_ALLOWED else self._search_allowed(user_state, sought, allowed)
        return self._merged(np.concatenate([matches, rows]), addends)

    def _search_allowed(self, user_state: Float, count: int, allowed: AllowedRows) -> Int:
        """The best allowed rows in cells that hold about as many allowed rows as a search without a mask reads."""
        faiss = import_faiss()
        bits = np.packbits(allowed.mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        probed = min(self.cells, -(-self.probed * self._index.ntotal // allowed.count))
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probed)
        _, rows = self._index.search(np.ascontiguousarray(user_state), min(count, allowed.count), params=parameters)
        matches: Int = rows[0][rows[0] >= 0]
        return matches

    def search(self, user_states: Float, count: int) -> tuple[Int, Float]:
        """Rows int64 and products float32 in 8 bits, (B, count), best first; row 0 fills up where cells hold fewer."""
        products, rows = self._index.search(np.ascontiguousarray(user_states), min(count, self._index.ntotal))
        return np.maximum(rows, 0), products

    def _merged(self, places: Int, addends: Float) -> tuple[Int, Float]:
        """Each row of ``places`` (P,) once, with the sum of its addends; those of the first places are 0.

        A table of all items tells where each row stands last. Only what was just written is read, so the table is
        never cleared, and takes no longer for more items.
        """
        numbers, table = np.arange(len(places), dtype=np.int32), self._table()
        table[places] = numbers
        last = table[places]
        sums = np.bincount(last[len(places) - len(addends) :], addends, len(places))
        kept = last == numbers
        return places[kept], sums[kept].astype(np.float32)

    def _table(self) -> NDArray[np.int32]:
        """The table of this thread."""
        if not hasattr(self._local, "table"):
            self._local.table = np.empty(self._index.ntotal, dtype=np.int32)
        table: NDArray[np.int32] = self._local.table
        return table


def import_faiss() -> Any:
    """The library; raises LibraryMissing, which says how to install it."""
    try:
        import faiss
    except ModuleNotFoundError as exc:
        raise LibraryMissing(
            'faiss is not installed; bundles with an approximate index need: pip install "kshot[approximate]"'
        ) from exc
    return faiss
