"""Figures published for MeLU on ML-1M, by the paper and by a reproduction, to compare with.

Their users were split by other seeds. Neither states that the ratings predicted in the warm quadrant were held out of
training, as they are here.
"""

from __future__ import annotations

from model_store.bundle.manifest import DataFingerprint
from model_store.evaluation.figures import Figure, Figures
from model_store.studies.ratings.quadrants import QUADRANTS

ML_1M = {"users": 6040, "events": 1_000_209}
# Copies of the data miss a few rows.
TOLERANCE = 100

MAE = {
    "MeLU (the paper)": (0.75, 0.79, 0.92, 0.92),
    "MeLU (reproduced)": (0.68, 0.74, 0.90, 0.89),
}


def published(data: DataFingerprint, new_items: str) -> dict[str, dict[str, Figures]]:
    """Published errors by model and quadrant; empty unless the data is ML-1M and divided as in the paper."""
    is_ml_1m = data.users == ML_1M["users"] and abs(data.events - ML_1M["events"]) <= TOLERANCE
    if not (is_ml_1m and new_items == "year >= 1998"):
        return {}
    return {
        name: {quadrant: {"mae": Figure(error)} for quadrant, error in zip(QUADRANTS, errors, strict=True)}
        for name, errors in MAE.items()
    }
