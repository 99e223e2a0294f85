"""The composition root: the only reader of settings; builds everything and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI

from service import telemetry
from service.api.app import build_app
from service.api.routes import Parts
from service.flows.feedback import FeedbackFlow
from service.scoring.live import Live
from service.settings import Settings, read_settings
from service.stores.redis import RedisStore

log = structlog.get_logger()


def create_app() -> FastAPI:
    """The application of one worker, from the environment.

    Raises:
        ModelStoreError: no bundle is live, or it is refused.
        ServiceError: a setting or the user store's address makes no sense.
    """
    settings = read_settings()
    telemetry.configure_logs(settings.log_level)
    live, store = _live(settings), _store(settings)
    flow = FeedbackFlow(store, clock=time.time, deadline_s=settings.feedback_deadline_ms / 1000)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(live.watch(settings.reload_every_s))
        # What was built until now stays: the collector need not look at it again, which made the slowest requests.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        log.info("ready", bundle=live.model.version, items=len(live.model.catalogue))
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await store.close()
        log.info("stopped")

    return build_app(Parts(live, store, flow), lifespan, access_log=settings.access_log)


def try_parts() -> None:
    """Build what may fail in :func:`create_app`, raising the same, and let go of it.

    An application would stay: FastAPI keeps its routes in caches, and they the bundle.
    """
    settings = read_settings()
    telemetry.configure_logs(settings.log_level)
    _live(settings)
    _store(settings)


def _live(settings: Settings) -> Live:
    return Live(settings.store, settings.threads)


def _store(settings: Settings) -> RedisStore:
    return RedisStore.connect(
        settings.redis,
        password=settings.redis_password(),
        timeout_s=settings.store_timeout_ms / 1000,
        ttl_s=int(settings.user_ttl_days * 86_400),
        served_ttl_s=settings.served_ttl_s,
    )
