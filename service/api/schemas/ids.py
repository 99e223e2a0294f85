"""Ids and how much is stored about a user: the fields that several bodies share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

MAX_ID_CHARACTERS = 256

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


class UserStateView(BaseModel):
    """How much is stored about a user."""

    events: int = Field(description="number of stored events")
    version: int = Field(description="grows with every accepted feedback")
