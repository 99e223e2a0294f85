"""iALS: matrix factorisation of implicit feedback, a new user folded in by least squares.

Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets". With x_ui = 1 where user u liked
item i and 0 elsewhere, user vectors U and item vectors V minimise

    Σ_{liked} (1 − U_u · V_i)² + α₀ Σ_{others} (U_u · V_i)² + λ (‖U‖² + ‖V‖²)

by turns. A new user's vector is what half a turn gives: the exact least squares of that user's likes, V fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch  # noqa: F401 - before implicit, whose wheel brings no libgomp and then finds torch's
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from model_store.baselines.popularity import Scores, liked_matrix
from model_store.data.episodes import Support


@dataclass(frozen=True)
class IALS:
    """Item vectors of a factorisation; whoever comes is folded in.

    Attributes:
        solver: the fitted factorisation, whose item vectors are float32 (n_items, dim).
        liked_at_least: what counts as liked in a support.
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
        turns: int = 15,
        seed: int = 0,
    ) -> IALS:
        """Factorise ``liked`` (n_users, n_items).

        Args:
            liked: ones at what the training users liked.
            liked_at_least: what counts as liked in a support.
            dim: length of a vector.
            regularisation: λ, above 0.
            unobserved_weight: α₀, above 0 and below 1.
            turns: how often both sides are solved for.
            seed: of the first vectors.
        """
        # The library gives what is not liked weight 1 and what is liked α, so the loss above is divided by α₀.
        with threadpool_limits(1, "blas"):  # else it warns: its own threads and those of BLAS get in each other's way
            solver = AlternatingLeastSquares(
                factors=dim,
                regularization=regularisation / unobserved_weight,
                alpha=1 / unobserved_weight,
                iterations=turns,
                random_state=seed,
                num_threads=1,  # one seed gives one result
            )
            solver.fit(sp.csr_matrix(liked), show_progress=False)
        return cls(solver, liked_at_least)

    def fold_in(self, liked: sp.csr_array) -> NDArray[np.float32]:
        """Vectors of new users from what they liked, (B, n_items) → float32 (B, dim); zeros for no likes."""
        vectors: NDArray[np.float32] = self.solver.recalculate_user(np.arange(liked.shape[0]), sp.csr_matrix(liked))
        return vectors

    def score(self, support: Support) -> Scores:
        """Float32 (B, n_items)."""
        vectors = self.solver.item_factors
        scores: Scores = self.fold_in(liked_matrix(support, self.liked_at_least, len(vectors))) @ vectors.T
        return scores
