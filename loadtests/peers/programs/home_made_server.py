"""The server: known users by their trained factors, everybody else by factors made from what they told."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Response
from pydantic import BaseModel
from scipy.sparse import csr_matrix

KEPT = pickle.loads(Path(os.environ["MODEL"]).read_bytes())  # noqa: S301 - made by ourselves a moment ago
MODEL, LIKES, ITEM_IDS = KEPT["model"], KEPT["likes"], KEPT["item_ids"]
USER_ROWS, POPULAR = KEPT["user_rows"], KEPT["popular"]
ITEM_ROWS = {item_id: row for row, item_id in enumerate(ITEM_IDS)}
TOLD: dict[str, list[int]] = {}

app = FastAPI()


class Feedback(BaseModel):
    """What a user likes."""

    user_id: str
    item_ids: list[str]


@app.get("/health")
async def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@app.get("/recommend")
async def recommend(user_id: str, k: int = 20) -> Response:
    """A list of k items; of whom nothing is known gets the popular ones."""
    row, told = USER_ROWS.get(user_id), TOLD.get(user_id, [])
    if row is None and not told:
        return _answer(user_id, [(place, 0.0) for place in POPULAR[:k]])
    likes = _likes(row, told)
    items, scores = MODEL.recommend(row or 0, likes, N=k, recalculate_user=bool(told))
    return _answer(user_id, zip(items.tolist(), scores.tolist(), strict=True))


@app.post("/feedback")
async def feedback(given: Feedback) -> dict[str, int]:
    """Keep what a user likes, in memory."""
    known = [ITEM_ROWS[item_id] for item_id in given.item_ids if item_id in ITEM_ROWS]
    TOLD.setdefault(given.user_id, []).extend(known)
    return {"accepted": len(known)}


def _likes(row: int | None, told: list[int]) -> csr_matrix:
    """What a user liked before the training and what was told since, one row."""
    if row is not None and not told:
        return LIKES[row]
    trained = LIKES[row].indices if row is not None else np.zeros(0, dtype=np.int32)
    liked = np.union1d(trained, np.array(told, dtype=np.int32))
    return csr_matrix((np.ones(len(liked), dtype=np.float32), liked, [0, len(liked)]), shape=(1, len(ITEM_IDS)))


def _answer(user_id: str, ranked: Any) -> Response:
    items = [{"item_id": ITEM_IDS[row], "score": score} for row, score in ranked]
    return Response(orjson.dumps({"user_id": user_id, "items": items}), media_type="application/json")
