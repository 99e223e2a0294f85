"""The request and the response of POST /feedback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from service.api.schemas.ids import MAX_ID_CHARACTERS, Id, UserStateView

MAX_EVENTS = 256
MAX_ATTRIBUTE_BYTES = 4096


def _one_error(value: object, check: Callable[[object], Any]) -> Any:
    """One error for a value of the wrong type, in place of pydantic's one per alternative."""
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
AttributeValue = Annotated[Text | bool | FiniteFloat | list[Text], WrapValidator(_one_error)]
Attributes = Annotated[dict[Text, AttributeValue], AfterValidator(_small)]


class FeedbackEvent(BaseModel):
    """One piece of feedback: a ``value`` on the data's own scale, or a ``type`` of the bundle's vocabulary."""

    model_config = ConfigDict(strict=True, extra="forbid")

    item_id: Id
    value: FiniteFloat | None = Field(None, description="on the scale of the data that the bundle was trained on")
    type: str | None = Field(
        None, max_length=MAX_ID_CHARACTERS, description="a name for a value, out of the bundle's vocabulary, e.g. like"
    )
    event_id: Id | None = Field(
        None, description="an event counts once per id, however often it is sent; generated if absent"
    )
    timestamp: FiniteFloat | None = Field(None, ge=0, description="seconds since 1970; the time of arrival if absent")


class Feedback(BaseModel):
    """Events of one user, in the order they happened, and attributes of the user; at least one of both."""

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
    attributes: Attributes | None = Field(
        None,
        description="all attributes of the user, by name; they replace the stored ones, and {} deletes them. "
        f"At most {MAX_ATTRIBUTE_BYTES} bytes",
    )


class UnknownItem(BaseModel):
    """An event that was left out, because its item is not in the catalogue."""

    index: int = Field(description="position in the request's events")
    item_id: str


class UnknownAttribute(BaseModel):
    """An attribute this bundle does not know; stored for later bundles."""

    name: str
    value: str


class Receipt(BaseModel):
    """The outcome of a feedback request."""

    accepted: int
    duplicates: int
    state: UserStateView
    event_ids: list[str | None] = Field(
        default=[],
        description="ids of the events, in their order, null for an event left out; absent if the request had all ids",
    )
    unknown: list[UnknownItem] = Field(default=[], description="events left out: items the catalogue does not have")
    unknown_attributes: list[UnknownAttribute] = Field(default=[], description="attributes the bundle does not know")
