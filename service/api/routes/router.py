"""The routes: parse, call one flow, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Protocol

import orjson
from fastapi import APIRouter, Query, Response

from service import telemetry
from service.api.routes.strict import STRICT
from service.api.routes.users import UserParts, build_user_router
from service.api.schemas import MAX_ID_CHARACTERS, MAX_K, Feedback, Problem, Receipt, Recommendation
from service.core.ports import Model, UserStore
from service.errors import StoreUnavailable
from service.flows.feedback import FeedbackFlow, FeedbackReceipt, ReceivedEvent, new_event_id
from service.flows.forget import ForgetFlow
from service.flows.recommend import ServedList, recommend

JSON = "application/json"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
PROBLEM: dict[str, Any] = {"model": Problem}

UserId = Annotated[str, Query(min_length=1, max_length=MAX_ID_CHARACTERS, description="any id; unknown is fine")]
K = Annotated[int, Query(ge=1, le=MAX_K, description="length of the list")]
IncludeSeen = Annotated[bool, Query(description="recommend items with feedback again, too")]


class Live(Protocol):
    """The live bundle as the routes see it."""

    @property
    def model(self) -> Model:
        """The model that a new request gets, and holds throughout."""

    def note_age(self) -> None:
        """Bring the metric of the bundle's age up to date."""


@dataclass(frozen=True)
class Parts:
    """What the routes are built on."""

    live: Live
    store: UserStore
    feedback: FeedbackFlow
    forget: ForgetFlow


async def recommendation(parts: Parts, user_id: str, k: int, include_seen: bool) -> bytes:  # noqa: FBT001 - as asked
    """The JSON answer to GET /recommend."""
    served = await recommend(user_id, k, include_seen=include_seen, store=parts.store, model=parts.live.model)
    return _list_json(user_id, served)


async def receipt(parts: Parts, feedback: Feedback) -> bytes:
    """The JSON answer to POST /feedback; raises what the flow raises."""
    given = [
        ReceivedEvent(event.item_id, event.value, event.type, event.event_id or new_event_id(), event.timestamp)
        for event in feedback.events
    ]
    kept = await parts.feedback.accept(feedback.user_id, given, feedback.attributes, parts.live.model)
    made = any(event.event_id is None for event in feedback.events)
    return _receipt_json(kept, given if made else [])


def build_router(parts: Parts) -> APIRouter:
    """All routes of the service over ``parts``."""
    router = APIRouter()
    _add_recommend(router, parts)
    _add_feedback(router, parts)
    router.include_router(build_user_router(UserParts(parts.live, parts.forget)))
    _add_operations(router, parts)
    return router


def _add_recommend(router: APIRouter, parts: Parts) -> None:
    @router.get(
        "/recommend",
        response_model=Recommendation,
        responses={422: PROBLEM},
        tags=["users"],
        dependencies=[STRICT],
    )
    async def get_recommend(user_id: UserId, k: K = 20, include_seen: IncludeSeen = False) -> Response:  # noqa: FBT002 - a query parameter
        """The best k items for a user. Before any event it comes from the meta-learned starting point."""
        return Response(await recommendation(parts, user_id, k, include_seen), media_type=JSON)


def _add_feedback(router: APIRouter, parts: Parts) -> None:
    @router.post(
        "/feedback",
        response_model=Receipt,
        response_model_exclude_defaults=True,
        responses={413: PROBLEM, 415: PROBLEM, 422: PROBLEM, 500: PROBLEM, 503: PROBLEM},
        tags=["users"],
        dependencies=[STRICT],
    )
    async def post_feedback(feedback: Feedback) -> Response:
        """Tell what a user did, thinks or is; the next list reflects it."""
        return Response(await receipt(parts, feedback), media_type=JSON)


def _add_operations(router: APIRouter, parts: Parts) -> None:
    @router.get("/metrics", response_class=Response, tags=["operations"])
    async def get_metrics() -> Response:
        """Metrics for Prometheus, of all workers."""
        parts.live.note_age()
        return Response(await asyncio.to_thread(telemetry.expose), media_type=PROMETHEUS)

    @router.get("/health/live", tags=["operations"])
    async def get_live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @router.get("/health/ready", tags=["operations"])
    async def get_ready() -> dict[str, str]:
        """A bundle is live. Without its user store the service still answers, degraded, so it stays ready."""
        try:
            await parts.store.ping()
            store = "up"
        except StoreUnavailable:
            store = "down"
        return {"status": "ready", "bundle": parts.live.model.version, "store": store}


def _list_json(user_id: str, served: ServedList) -> bytes:
    """The answer as JSON; the items' own text goes in as it stands in the bundle."""
    heads = served.model.catalogue.open_json(served.rows)
    fields = tuple(chain.from_iterable(zip(heads, served.scores, strict=True)))
    # One format of all items takes half the time of one for each.
    items = (b'%b,"score":%.6g},' * len(heads))[:-1] % fields
    head = {
        "user_id": user_id,
        "bundle": served.model.version,
        "source": served.source,
        "state": {"events": len(served.record.events.item_ids), "version": served.record.version},
    }
    return b'%b,"items":[%b]}' % (orjson.dumps(head)[:-1], items)


def _receipt_json(receipt: FeedbackReceipt, told_ids: Sequence[ReceivedEvent]) -> bytes:
    """The receipt, with the ids of these events: null for one that was left out."""
    body: dict[str, Any] = {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "state": {"events": len(receipt.record.events.item_ids), "version": receipt.record.version},
    }
    left_out = {index for index, _ in receipt.unknown}
    if told_ids:
        body["event_ids"] = [None if index in left_out else event.event_id for index, event in enumerate(told_ids)]
    if receipt.unknown:
        body["unknown"] = [{"index": index, "item_id": item_id} for index, item_id in receipt.unknown]
    if receipt.unknown_attributes:
        body["unknown_attributes"] = [{"name": name, "value": text} for name, text in receipt.unknown_attributes]
    return orjson.dumps(body)
