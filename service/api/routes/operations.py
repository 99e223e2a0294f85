"""GET /metrics and the health checks."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from service import telemetry
from service.api.backend import Backend
from service.errors import StoreUnavailable

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def add_operations(router: APIRouter, backend: Backend) -> None:
    """Add the routes to ``router``."""

    @router.get("/metrics", response_class=Response, tags=["operations"])
    async def get_metrics() -> Response:
        """Metrics of all workers, in the text format of Prometheus."""
        backend.live.note_age()
        return Response(await asyncio.to_thread(telemetry.expose), media_type=PROMETHEUS)

    @router.get("/health/live", tags=["operations"])
    async def get_live() -> dict[str, str]:
        """The process responds."""
        return {"status": "live"}

    @router.get("/health/ready", tags=["operations"])
    async def get_ready() -> dict[str, str]:
        """A bundle is live. Without the user store the service stays ready, because it still serves degraded lists."""
        try:
            await backend.store.ping()
            store = "up"
        except StoreUnavailable:
            store = "down"
        return {"status": "ready", "bundle": backend.live.snapshot.version, "store": store}
