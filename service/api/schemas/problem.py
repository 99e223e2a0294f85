"""Problem details, the body of every refusal."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Invalid(BaseModel):
    """One invalid part of a request."""

    field: str = Field(description="path of the field, e.g. events[0].value")
    value: str = Field(description="the value that was sent, shortened")
    expected: str


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[Invalid] = []
