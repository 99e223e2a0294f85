"""The server: trained factors for users of the training, factors computed from feedback for all others."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Response
from pydantic import BaseModel
from scipy.sparse import csr_matrix

SAVED = pickle.loads(Path(os.environ["MODEL"]).read_bytes())  # noqa: S301 - written by the training a moment ago
MODEL, LIKES, ITEM_IDS = SAVED["model"], SAVED["likes"], SAVED["item_ids"]
USER_ROWS, POPULAR = SAVED["user_rows"], SAVED["popular"]
ITEM_ROWS = {item_id: row for row, item_id in enumerate(ITEM_IDS)}
FEEDBACK: dict[str, list[int]] = {}

app = FastAPI()


class Feedback(BaseModel):
    """Items that a user likes."""

    user_id: str
    item_ids: list[str]


@app.get("/health")
async def health() -> dict[str, str]:
    """Liveness of the process."""
    return {"status": "ok"}


@app.get("/recommend")
async def recommend(user_id: str, k: int = 20) -> Response:
    """A list of k items; users without events get popular items."""
    row, rows = USER_ROWS.get(user_id), FEEDBACK.get(user_id, [])
    if row is None and not rows:
        return _response(user_id, [(popular, 0.0) for popular in POPULAR[:k]])
    likes = _likes(row, rows)
    items, scores = MODEL.recommend(row or 0, likes, N=k, recalculate_user=bool(rows))
    return _response(user_id, zip(items.tolist(), scores.tolist(), strict=True))


@app.post("/feedback")
async def feedback(body: Feedback) -> dict[str, int]:
    """Store liked items in memory."""
    rows = [ITEM_ROWS[item_id] for item_id in body.item_ids if item_id in ITEM_ROWS]
    FEEDBACK.setdefault(body.user_id, []).extend(rows)
    return {"accepted": len(rows)}


def _likes(row: int | None, rows: list[int]) -> csr_matrix:
    """Likes from the training and from feedback, as one row."""
    if row is not None and not rows:
        return LIKES[row]
    trained = LIKES[row].indices if row is not None else np.zeros(0, dtype=np.int32)
    liked = np.union1d(trained, np.array(rows, dtype=np.int32))
    return csr_matrix((np.ones(len(liked), dtype=np.float32), liked, [0, len(liked)]), shape=(1, len(ITEM_IDS)))


def _response(user_id: str, ranked: Any) -> Response:
    items = [{"item_id": ITEM_IDS[row], "score": score} for row, score in ranked]
    return Response(orjson.dumps({"user_id": user_id, "items": items}), media_type="application/json")
