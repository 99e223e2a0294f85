"""The routes about a user's stored data: read it, erase it, unlearn one event."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
from fastapi import APIRouter, Path, Response
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from service.api.backend import Backend
from service.api.problems import RESPONSE
from service.api.routes.strict import SENT_IDS, STRICT
from service.api.schemas.ids import MAX_ID_CHARACTERS, UserStateView
from service.api.schemas.users import Erasure, UserData
from service.core.history import arrivals, digest_name
from service.core.values import Event, StoredUser

JSON = "application/json"
PRIVATE = {"Cache-Control": "no-store"}
REFUSALS: dict[int | str, dict[str, Any]] = dict.fromkeys((422, 500, 503), RESPONSE)

Id = Annotated[str, Path(min_length=1, max_length=MAX_ID_CHARACTERS, description="percent-encoded, including slashes")]


class _AnyIdRoute(APIRoute):
    """Matches the path as sent and decodes its ids afterwards, so that an id may contain slashes."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See ``starlette.routing.Route``."""
        if scope["type"] != "http":
            return Match.NONE, {}
        match, child = super().matches({**scope, "path": scope["raw_path"].decode("latin-1")})
        if match is not Match.NONE:
            child[SENT_IDS] = child["path_params"]
            child["path_params"] = {name: unquote(sent) for name, sent in child[SENT_IDS].items()}
        return match, child


def add_users(router: APIRouter, backend: Backend) -> None:
    """Add the routes to ``router``."""
    users = APIRouter(prefix="/users/{user_id}", tags=["a user's data"], route_class=_AnyIdRoute, dependencies=[STRICT])

    @users.get("", response_model=UserData, responses={404: RESPONSE, **REFUSALS})
    async def get_user(user_id: Id) -> Response:
        """All stored data about a user, under any key."""
        stored = await backend.forget.show(user_id)
        return Response(orjson.dumps(_user_data(user_id, stored)), media_type=JSON, headers=PRIVATE)

    @users.delete("", response_model=Erasure, responses=REFUSALS)
    async def delete_user(user_id: Id) -> Response:
        """Erase all stored data about a user. Repeating the request is safe."""
        erased = await backend.forget.erase(user_id)
        return Response(orjson.dumps({"user_id": user_id, "erased": erased}), media_type=JSON, headers=PRIVATE)

    @users.delete("/events/{event_id}", response_model=UserStateView, responses={404: RESPONSE, **REFUSALS})
    async def delete_event(user_id: Id, event_id: Id) -> Response:
        """Unlearn one event, as if it had never arrived."""
        record = await backend.forget.unlearn(user_id, event_id, backend.live.snapshot)
        version = 0 if record.is_empty else record.version
        return Response(orjson.dumps({"events": len(record.events), "version": version}), media_type=JSON)

    router.include_router(users)


def _user_data(user_id: str, stored: StoredUser) -> dict[str, Any]:
    record = stored.record
    recent = set(record.events.digests.tolist())
    return {
        "user_id": user_id,
        "version": record.version,
        "events": [_event(event, recent) for event in arrivals(record, stored.archive)],
        "seen": record.seen,
        "attributes": record.attributes,
        "state": record.state and {"bundle": record.state.bundle, "vector": record.state.vector.tolist()},
        "served": stored.served,
        "known_event_ids": [digest_name(digest) for digest in record.retired.tolist()],
        "expires_in_s": stored.expires_in_s,
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
