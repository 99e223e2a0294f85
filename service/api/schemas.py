"""Bodies of requests and answers, as they stand in ``/docs``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

MAX_EVENTS = 256
MAX_ID_CHARACTERS = 256
MAX_K = 500

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


class FeedbackEvent(BaseModel):
    """One piece of feedback: a ``value`` on the data's own scale, or a ``type`` of the bundle's vocabulary."""

    model_config = ConfigDict(strict=True, extra="forbid")

    item_id: Id
    value: FiniteFloat | None = Field(None, description="on the scale of the data that the bundle was trained on")
    type: str | None = Field(None, max_length=MAX_ID_CHARACTERS, description="stands for a value, e.g. like")
    event_id: Id | None = Field(None, description="makes the event count once, however often it is sent")
    timestamp: FiniteFloat | None = Field(None, ge=0, description="seconds since 1970; the time of arrival if absent")


class Feedback(BaseModel):
    """Feedback of one user, in the order it happened."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"user_id": "ann", "events": [{"item_id": "1", "value": 5}]}]},
    )

    user_id: Id
    events: Annotated[list[FeedbackEvent], Field(min_length=1, max_length=MAX_EVENTS)]


class UserStateView(BaseModel):
    """How much is known about a user."""

    events: int = Field(description="events kept")
    version: int = Field(description="grows with every accepted feedback")


class UnknownItem(BaseModel):
    """An event that was left out, since its item is not in the catalogue."""

    index: int = Field(description="place in the request's events")
    item_id: str


class Receipt(BaseModel):
    """What became of a user's feedback."""

    accepted: int
    duplicates: int
    state: UserStateView
    unknown: list[UnknownItem] = Field(default=[], description="events left out: items the catalogue does not have")


class RecommendedItem(BaseModel):
    """One place of a list."""

    item_id: str
    score: float
    title: str | None = None


class Recommendation(BaseModel):
    """A list, best first."""

    user_id: str
    bundle: str = Field(description="version of the bundle that answered")
    source: Literal["cold", "adapted", "degraded"] = Field(
        description="cold: nothing known of the user yet; degraded: the user store did not answer"
    )
    state: UserStateView
    items: list[RecommendedItem]


class Invalid(BaseModel):
    """One thing wrong with a request."""

    field: str = Field(description="where, e.g. events[0].value")
    value: str = Field(description="what was there, shortened")
    expected: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[Invalid] = []
