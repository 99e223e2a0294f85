"""GET /recommend."""

from __future__ import annotations

from itertools import chain
from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from service.api.backend import Backend
from service.api.problems import RESPONSE
from service.api.routes.json_response import JSONBytes
from service.api.routes.strict import STRICT
from service.api.schemas.ids import MAX_ID_CHARACTERS
from service.api.schemas.recommend import MAX_K, Recommendation
from service.flows.recommend import ServedList, recommend
from service.ranking.request import ListRequest

UserId = Annotated[
    str, Query(min_length=1, max_length=MAX_ID_CHARACTERS, description="any id, also of a user without feedback")
]
K = Annotated[int, Query(ge=1, le=MAX_K, description="length of the list")]
IncludeSeen = Annotated[bool, Query(description="also recommend items that the user gave feedback on")]


def add_recommend(router: APIRouter, backend: Backend) -> None:
    """Add the route to ``router``."""

    @router.get(
        "/recommend", response_model=Recommendation, responses={422: RESPONSE}, tags=["users"], dependencies=[STRICT]
    )
    async def get_recommend(user_id: UserId, k: K = 20, include_seen: IncludeSeen = False) -> Response:  # noqa: FBT002 - a query parameter
        """The best k items for a user; before any event, the list of the meta-learned starting point."""
        request = ListRequest(user_id, k, include_seen)
        served = await recommend(request, store=backend.store, snapshot=backend.live.snapshot)
        return JSONBytes(_list_json(user_id, served))


def _list_json(user_id: str, served: ServedList) -> bytes:
    """The response as JSON; ids and titles are copied from the bundle, where they are stored as JSON."""
    heads = served.snapshot.open_json(served.slate.rows)
    fields = tuple(chain.from_iterable(zip(heads, served.slate.scores, strict=True)))
    # One format operation for all items takes half the time of one per item.
    items = (b'%b,"score":%.6g},' * len(heads))[:-1] % fields
    head = {
        "user_id": user_id,
        "bundle": served.snapshot.version,
        "source": served.source,
        "state": {"events": len(served.record.events.item_ids), "version": served.record.version},
    }
    return b'%b,"items":[%b]}' % (orjson.dumps(head)[:-1], items)
