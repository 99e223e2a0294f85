"""POST /feedback."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Response

from service.api.backend import Backend
from service.api.problems import RESPONSE
from service.api.routes.json_response import JSONBytes
from service.api.routes.strict import STRICT
from service.api.schemas.feedback import Feedback, Receipt
from service.flows.feedback import FeedbackReceipt, ReceivedEvent, new_event_id


def add_feedback(router: APIRouter, backend: Backend) -> None:
    """Add the route to ``router``."""

    @router.post(
        "/feedback",
        response_model=Receipt,
        response_model_exclude_defaults=True,
        responses=dict.fromkeys((413, 415, 422, 500, 503), RESPONSE),
        tags=["users"],
        dependencies=[STRICT],
    )
    async def post_feedback(feedback: Feedback) -> Response:
        """Store events and attributes of a user; the user's next list reflects them."""
        events = [
            ReceivedEvent(event.item_id, event.value, event.type, event.event_id or new_event_id(), event.timestamp)
            for event in feedback.events
        ]
        receipt = await backend.feedback.accept(feedback.user_id, events, feedback.attributes, backend.live.snapshot)
        has_new_ids = any(event.event_id is None for event in feedback.events)
        return JSONBytes(_receipt_json(receipt, events if has_new_ids else []))


def _receipt_json(receipt: FeedbackReceipt, listed: Sequence[ReceivedEvent]) -> bytes:
    """The receipt, with the ids of the ``listed`` events: null for one that was left out."""
    body: dict[str, Any] = {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "state": {"events": len(receipt.record.events.item_ids), "version": receipt.record.version},
    }
    unknown = {index for index, _ in receipt.unknown}
    if listed:
        body["event_ids"] = [None if index in unknown else event.event_id for index, event in enumerate(listed)]
    if receipt.unknown:
        body["unknown"] = [{"index": index, "item_id": item_id} for index, item_id in receipt.unknown]
    if receipt.unknown_attributes:
        body["unknown_attributes"] = [{"name": name, "value": text} for name, text in receipt.unknown_attributes]
    return orjson.dumps(body)
