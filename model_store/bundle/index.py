"""The approximate first stage of very large catalogues: an inverted file of faiss, memory-mapped.

A bundle whose ``score.onnx`` takes ``candidates`` brings ``index.faiss``: item vectors in 8 bits, in the cells of a
k-means. Those of the cells whose mean scores best for a user are candidates; the graph scores them exactly. How many
cells are probed stands in the file. faiss is an extra, since exact bundles do without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.errors import BundleDamaged, LibraryMissing

INDEX_FILE = "index.faiss"
# Candidates beyond the list's length: what 8 bits may have misplaced.
SLACK = 44


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
        # One user at a time: more threads would only take the cores from other requests.
        faiss.omp_set_num_threads(1)

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

    def candidates(self, user_states: NDArray[np.float32], count: int, lowered: int) -> NDArray[np.int64]:
        """Rows that may belong into lists of ``count``, int64 (B, C).

        Args:
            user_states: float32 (B, state_dim).
            count: length of the lists.
            lowered: rows that addends may push out of a list; as many others may be wanted in their place.
        """
        return self.search(user_states, min(count + lowered + SLACK, self._index.ntotal))[0]

    def search(self, user_states: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Rows int64 and products float32 in 8 bits, (B, count), best first; row 0 fills up where cells hold fewer."""
        products, rows = self._index.search(np.ascontiguousarray(user_states), count)
        return np.maximum(rows, 0), products


def import_faiss() -> Any:
    """The library; raises LibraryMissing, which says how to install it."""
    try:
        import faiss
    except ModuleNotFoundError as exc:
        raise LibraryMissing(
            'faiss is not installed; bundles with an approximate index need: pip install "kshot[approximate]"'
        ) from exc
    return faiss
