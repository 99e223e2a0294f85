"""The responses about a user's stored data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class StoredScale(BaseModel):
    """The scale of a value, from the bundle that was live when the event arrived."""

    kind: Literal["ratings", "counts", "clicks"]
    low: float
    high: float
    liked: float = Field(description="the value from which an event counts as liked")


class StoredEvent(BaseModel):
    """One stored event. Ids of clients are stored as digests of 40 bits; ``event_id`` is the digest's name."""

    event_id: str = Field(description="unlearns the event, as does the id the event was sent with")
    item_id: str
    value: float = Field(description="as sent, or the value of the event's type")
    scale: StoredScale | None = Field(description="of the value; null for events from before scales were stored")
    timestamp: float
    recent: bool = Field(description="part of the adaptation; other events were replaced, or exceed the bundle's limit")


class StoredState(BaseModel):
    """The state adapted from the events, in the coordinates of one bundle."""

    bundle: str
    vector: list[float]


class UserData(BaseModel):
    """All stored data about a user, under any key."""

    user_id: str
    version: int
    events: list[StoredEvent] = Field(description="in the order of arrival")
    seen: list[str] = Field(description="items of events that are no longer recent")
    attributes: dict[str, Any]
    state: StoredState | None
    served: list[str] = Field(description="the last list served, best first")
    known_event_ids: list[str] = Field(description="of events no longer recent, to recognise them when sent again")
    expires_in_s: int | None = Field(
        description="seconds until all of it is deleted, unless the user sends feedback or gets a list before"
    )


class Erasure(BaseModel):
    """The receipt of an erasure."""

    user_id: str
    erased: list[Literal["record", "older events", "served list"]] = Field(
        description="the kinds of data that were stored and are now deleted"
    )
