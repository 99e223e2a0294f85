"""The routes about what is held of a user: see it, erase it, unlearn one event."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any, Protocol
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Path, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from service.api.routes.strict import SENT_IDS, STRICT
from service.api.schemas import MAX_ID_CHARACTERS, Erasure, Problem, UserData, UserStateView
from service.core.history import arrivals, digest_name
from service.core.ports import Model
from service.core.values import Event, StoredUser
from service.flows.forget import ForgetFlow

JSON = "application/json"
PRIVATE = {"Cache-Control": "no-store"}
PROBLEM: dict[str, Any] = {"model": Problem}
REFUSALS: dict[int | str, dict[str, Any]] = {422: PROBLEM, 500: PROBLEM, 503: PROBLEM}

Id = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, description="percent-encoded, slashes too")]


class Live(Protocol):
    """The live bundle as these routes see it."""

    @property
    def model(self) -> Model:
        """The model that a new request gets, and holds throughout."""


@dataclass(frozen=True, slots=True)
class UserParts:
    """What these routes are built on."""

    live: Live
    forget: ForgetFlow


class _AnyIdRoute(APIRoute):
    """Matches the path as it was sent and decodes its ids afterwards: an id may hold anything, slashes too."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See ``starlette.routing.Route``."""
        if scope["type"] != "http":
            return Match.NONE, {}
        match, found = super().matches({**scope, "path": scope["raw_path"].decode("latin-1")})
        if match is not Match.NONE:
            found[SENT_IDS] = found["path_params"]
            found["path_params"] = {name: unquote(sent) for name, sent in found[SENT_IDS].items()}
        return match, found


def build_user_router(parts: UserParts) -> APIRouter:
    """The routes about a user's data over ``parts``."""
    router = APIRouter(
        prefix="/users/{user_id}", tags=["a user's data"], route_class=_AnyIdRoute, dependencies=[STRICT]
    )

    @router.get("", response_model=UserData, responses={404: PROBLEM, **REFUSALS})
    async def get_user(user_id: Id) -> Response:
        """Everything held about a user, under any key."""
        held = await parts.forget.show(user_id)
        return Response(orjson.dumps(_user_data(user_id, held)), media_type=JSON, headers=PRIVATE)

    @router.delete("", response_model=Erasure, responses=REFUSALS)
    async def delete_user(user_id: Id) -> Response:
        """Erase a user. Nothing is left, and nothing being there is no error, so that it can be sent again."""
        erased = await parts.forget.erase(user_id)
        return Response(orjson.dumps({"user_id": user_id, "erased": erased}), media_type=JSON, headers=PRIVATE)

    @router.delete("/events/{event_id}", response_model=UserStateView, responses={404: PROBLEM, **REFUSALS})
    async def delete_event(user_id: Id, event_id: Id) -> Response:
        """Unlearn one event: from now on all is as if it had never come."""
        record = await parts.forget.unlearn(user_id, event_id, parts.live.model)
        version = 0 if record.is_empty else record.version
        return Response(orjson.dumps({"events": len(record.events), "version": version}), media_type=JSON)

    return router


def _user_data(user_id: str, held: StoredUser) -> dict[str, Any]:
    record = held.record
    recent = set(record.events.digests.tolist())
    return {
        "user_id": user_id,
        "version": record.version,
        "events": [_event(event, recent) for event in arrivals(record, held.archive)],
        "seen": record.seen,
        "attributes": record.attributes,
        "state": record.state and {"bundle": record.state.bundle, "vector": record.state.vector.tolist()},
        "served": held.served,
        "known_event_ids": [digest_name(digest) for digest in record.retired.tolist()],
        "expires_in_s": held.expires_in_s,
    }


def _event(event: Event, recent: AbstractSet[int]) -> dict[str, Any]:
    return {
        "event_id": digest_name(event.digest),
        "item_id": event.item_id,
        "value": event.value,
        "scale": event.scale and event.scale._asdict(),
        "timestamp": event.timestamp,
        "recent": event.digest in recent,
    }
