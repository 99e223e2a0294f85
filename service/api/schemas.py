"""Bodies of requests and answers, as they stand in ``/docs``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

MAX_EVENTS = 256
MAX_ID_CHARACTERS = 256
MAX_K = 500
MAX_ATTRIBUTE_BYTES = 4096

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]


def _one_fault(value: object, check: Callable[[object], Any]) -> Any:
    """One thing wrong with a value of several types, where pydantic would find one for each type."""
    try:
        return check(value)
    except ValidationError as exc:
        expected = f"text of at most {MAX_ID_CHARACTERS} characters, a finite number, a boolean or a list of such texts"
        raise PydanticCustomError("attribute", "Input should be {expected}", {"expected": expected}) from exc


def _small(attributes: dict[str, Any]) -> dict[str, Any]:
    size = len(orjson.dumps(attributes))
    if size > MAX_ATTRIBUTE_BYTES:
        raise PydanticCustomError(
            "attributes_size",
            "Attributes should have at most {most} bytes as JSON, not {size}",
            {"most": MAX_ATTRIBUTE_BYTES, "size": size},
        )
    return attributes


Text = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
AttributeValue = Annotated[Text | bool | FiniteFloat | list[Text], WrapValidator(_one_fault)]
GivenAttributes = Annotated[dict[Text, AttributeValue], AfterValidator(_small)]


class FeedbackEvent(BaseModel):
    """One piece of feedback: a ``value`` on the data's own scale, or a ``type`` of the bundle's vocabulary."""

    model_config = ConfigDict(strict=True, extra="forbid")

    item_id: Id
    value: FiniteFloat | None = Field(None, description="on the scale of the data that the bundle was trained on")
    type: str | None = Field(None, max_length=MAX_ID_CHARACTERS, description="stands for a value, e.g. like")
    event_id: Id | None = Field(None, description="makes the event count once, however often sent; made up if absent")
    timestamp: FiniteFloat | None = Field(None, ge=0, description="seconds since 1970; the time of arrival if absent")


class Feedback(BaseModel):
    """Feedback of one user, in the order it happened, and what else is known of the user: one of both at least."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"user_id": "ann", "events": [{"item_id": "1", "value": 5}]},
                {"user_id": "ann", "attributes": {"gender": "F", "age": 25}},
            ]
        },
    )

    user_id: Id
    events: Annotated[list[FeedbackEvent], Field(max_length=MAX_EVENTS)] = []
    attributes: GivenAttributes | None = Field(
        None,
        description="all that is known of the user beside events, by name; replaces what was known, {} forgets it. "
        f"At most {MAX_ATTRIBUTE_BYTES} bytes",
    )


class UserStateView(BaseModel):
    """How much is known about a user."""

    events: int = Field(description="events kept")
    version: int = Field(description="grows with every accepted feedback")


class UnknownItem(BaseModel):
    """An event that was left out, since its item is not in the catalogue."""

    index: int = Field(description="place in the request's events")
    item_id: str


class UnknownAttribute(BaseModel):
    """Something told of the user that the bundle makes nothing of; it is kept for one that does."""

    name: str
    value: str


class Receipt(BaseModel):
    """What became of a user's feedback."""

    accepted: int
    duplicates: int
    state: UserStateView
    event_ids: list[str | None] = Field(
        default=[],
        description="ids of the events, in their order, null for one left out; absent where all brought their own",
    )
    unknown: list[UnknownItem] = Field(default=[], description="events left out: items the catalogue does not have")
    unknown_attributes: list[UnknownAttribute] = Field(default=[], description="attributes the bundle does not know")


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


class HeldScale(BaseModel):
    """The scale of a value: that of the bundle which was live when the event came."""

    kind: Literal["ratings", "counts", "clicks"]
    low: float
    high: float
    liked: float = Field(description="the value from which an event counts as liked")


class HeldEvent(BaseModel):
    """One event that is held. Ids of clients are kept as keys of 40 bits: ``event_id`` is the key's own name."""

    event_id: str = Field(description="unlearns the event, as the id does that it was sent with")
    item_id: str
    value: float = Field(description="as it was sent, or what its type stood for")
    scale: HeldScale | None = Field(description="of the value; null for events from before scales were kept")
    timestamp: float
    recent: bool = Field(description="adapted from; others were replaced, or are beyond the bundle's limit")


class HeldState(BaseModel):
    """What was adapted from the events, in the coordinates of one bundle."""

    bundle: str
    vector: list[float]


class UserData(BaseModel):
    """Everything held about a user, under any key."""

    user_id: str
    version: int
    events: list[HeldEvent] = Field(description="in the order in which they came")
    seen: list[str] = Field(description="items of events that are no longer recent")
    attributes: dict[str, Any]
    state: HeldState | None
    served: list[str] = Field(description="the last list served, best first")
    known_event_ids: list[str] = Field(description="of events that are no longer recent, to know them when sent again")
    expires_in_s: int | None = Field(description="seconds until all of it is dropped, unless the user comes back")


class Erasure(BaseModel):
    """The receipt of an erasure."""

    user_id: str
    erased: list[Literal["record", "older events", "served list"]] = Field(description="what there was; now nothing is")
