"""Train ALS on interactions.csv and pickle the data of the server. Arguments: CSV, pickle."""

import pickle
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix

FACTORS = 64


def main(interactions: str, pickled: str) -> None:
    """Run 15 rounds of ALS on likes of equal weight."""
    events = pd.read_csv(interactions, dtype={"user_id": str, "item_id": str})
    liked = events[events["value"] >= events["value"].quantile(0.5)]
    users, user_ids = pd.factorize(liked["user_id"])
    items, item_ids = pd.factorize(liked["item_id"])
    matrix = csr_matrix((np.ones(len(liked), dtype=np.float32), (users, items)))
    model = AlternatingLeastSquares(factors=FACTORS, iterations=15, random_state=0)
    model.fit(matrix, show_progress=False)
    popular = np.argsort(-np.asarray(matrix.sum(axis=0)).ravel(), kind="stable")
    saved = {
        "model": model,
        "likes": matrix,
        "user_rows": {user_id: row for row, user_id in enumerate(user_ids)},
        "item_ids": list(item_ids),
        "popular": popular[:500].tolist(),
    }
    Path(pickled).write_bytes(pickle.dumps(saved))


if __name__ == "__main__":
    main(*sys.argv[1:])
