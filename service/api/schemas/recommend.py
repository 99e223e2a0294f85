"""The response of GET /recommend."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from service.api.schemas.ids import UserStateView

MAX_K = 500


class RecommendedItem(BaseModel):
    """One item of a list."""

    item_id: str
    score: float
    title: str | None = None


class Recommendation(BaseModel):
    """A list of items, best first."""

    user_id: str
    bundle: str = Field(description="version of the bundle behind the list")
    source: Literal["cold", "adapted", "degraded"] = Field(
        description="adapted: to the user; cold: nothing is stored about the user yet; degraded: the user store did "
        "not answer"
    )
    state: UserStateView
    items: list[RecommendedItem]
