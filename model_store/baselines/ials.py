"""iALS: matrix factorisation of implicit feedback, a new user folded in by least squares.

Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets". With x_ui = 1 where user u liked
item i and 0 elsewhere, user vectors U and item vectors V minimise

    Σ_{liked} (1 − U_u · V_i)² + α₀ Σ_{others} (U_u · V_i)² + λ (‖U‖² + ‖V‖²)

in alternation. A new user's vector is the exact least-squares solution for that user's likes, with V fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch  # noqa: F401 - before implicit: its wheel has no libgomp and uses torch's
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model_store.baselines.popularity import Scores, liked_matrix
from model_store.bundle import Support


@dataclass(frozen=True)
class IALS:
    """A fitted factorisation; new users are folded in.

    Attributes:
        solver: the factorisation, with item vectors float32 (n_items, dim).
        liked_at_least: value from which an event of a support counts as liked.
    """

    solver: AlternatingLeastSquares
    liked_at_least: float

    @classmethod
    def fit(
        cls,
        liked: sp.csr_array,
        liked_at_least: float,
        *,
        dim: int,
        regularisation: float,
        unobserved_weight: float,
        iterations: int = 15,
        seed: int = 0,
    ) -> IALS:
        """Factorise ``liked`` (n_users, n_items).

        Args:
            liked: ones at the likes of the training users.
            liked_at_least: value from which an event of a support counts as liked.
            dim: length of a vector.
            regularisation: λ, above 0.
            unobserved_weight: α₀, above 0 and below 1.
            iterations: how often both sides are solved.
            seed: of the first vectors.
        """
        # The library weighs unliked items by 1 and liked ones by α, so the loss above is divided by α₀.
        with threadpool_limits(1, "blas"):  # else it warns that its threads and those of BLAS compete
            solver = AlternatingLeastSquares(
                factors=dim,
                regularization=regularisation / unobserved_weight,
                alpha=1 / unobserved_weight,
                iterations=iterations,
                random_state=seed,
                num_threads=1,  # one seed gives one result
            )
            solver.fit(sp.csr_matrix(liked), show_progress=False)
        return cls(solver, liked_at_least)

    def fold_in(self, liked: sp.csr_array) -> NDArray[np.float32]:
        """Vectors of new users from their likes, (B, n_items) → float32 (B, dim); zeros without likes."""
        vectors: NDArray[np.float32] = self.solver.recalculate_user(np.arange(liked.shape[0]), sp.csr_matrix(liked))
        return vectors

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        vectors = self.solver.item_factors
        scores: Scores = self.fold_in(liked_matrix(support, self.liked_at_least, len(vectors))) @ vectors.T
        return scores
