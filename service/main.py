"""The composition root: the only reader of settings; builds everything and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog
from fastapi import FastAPI

from model_store.bundle import ManifestCheck
from service import telemetry
from service.access.gate import Gate
from service.api.app import build_app
from service.api.edge import Edge
from service.api.routes.router import Parts
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow
from service.scoring.live import LiveBundle
from service.settings import Settings, read_settings
from service.stores.redis import durability
from service.stores.redis.catalogue import CatalogueMarking
from service.stores.redis.client import ClientOptions, RedisClient
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames
from service.stores.redis.users import RedisUserStore

if TYPE_CHECKING:
    from service.stores.redis.rates import RateLimits

log = structlog.get_logger()


def create_app() -> FastAPI:
    """The application of one worker, from the environment.

    Raises:
        ModelStoreError: no bundle is live, or it is refused.
        ServiceError: a setting, the keys file or the user store's address makes no sense, or the
            store cannot keep what is promised, or holds users of another catalogue.
    """
    settings = read_settings()
    built = _build(settings)
    live, store, rates = built.live, built.store, built.rates
    deadline_s = settings.feedback_deadline_ms / 1000
    flow = FeedbackFlow(store, clock=time.time, deadline_s=deadline_s)
    forget = ForgetFlow(store, deadline_s=deadline_s)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        _follow_supervisor()
        watching = asyncio.create_task(live.watch(settings.reload_every_s, partial(built.marking.renew, built.client)))
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
        await built.client.close()
        if rates is not None:
            await rates.close()
        log.info("stopped")

    return build_app(
        Parts(live, store, flow, forget),
        lifespan,
        access_log=settings.access_log,
        max_under_way=settings.max_under_way,
        edge=built.edge,
        root_path=settings.root_path,
    )


def try_parts() -> None:
    """Build what may fail in :func:`create_app`, raising the same, and let go of it.

    An application would stay: FastAPI keeps its routes in caches, and they the bundle.
    """
    _build(read_settings())


class _Built(NamedTuple):
    live: LiveBundle
    edge: Edge
    rates: RateLimits | None
    client: RedisClient
    marking: CatalogueMarking
    store: RedisUserStore


def _build(settings: Settings) -> _Built:
    telemetry.configure_logs(settings.log_level)
    live = LiveBundle(settings.store, settings.threads, _signed(settings))
    keys, address = KeyNames(settings.redis_prefix), _address(settings)
    rates = _rates(settings, address, keys)
    edge = Edge(
        gate=Gate(settings.keys_file) if settings.keys_file else None,
        open_docs=settings.open_docs,
        open_metrics=settings.open_metrics,
        rates=rates,
        cors_origins=settings.origins(),
    )
    timeout_s = settings.store_timeout_ms / 1000
    options = ClientOptions(
        address=address,
        timeout_s=timeout_s,
        disk_timeout_s=settings.disk_timeout_ms / 1000,
        durability=settings.durability,
    )
    marking = CatalogueMarking(live, keys)
    client = RedisClient(options, marking.check_connection)
    ttl_s = int(settings.user_ttl_days * 86_400)
    store = RedisUserStore(client, keys, ttl_s=ttl_s, served_ttl_s=settings.served_ttl_s)
    durability.check(address, settings.durability, timeout_s)
    marking.check(address, timeout_s)
    return _Built(live, edge, rates, client, marking, store)


def _address(settings: Settings) -> StoreAddress:
    return StoreAddress(settings.redis, settings.redis_password(), settings.redis_ca_file)


def _signed(settings: Settings) -> ManifestCheck | None:
    if settings.require_signature is None:
        return None
    from model_store.bundle.signature import TrustedKeys  # its library takes memory that few services need

    return TrustedKeys.read(settings.require_signature).check


def _rates(settings: Settings, address: StoreAddress, keys: KeyNames) -> RateLimits | None:
    if settings.key_rate is None and settings.user_rate is None:
        return None
    from service.stores.redis.rates import RateLimits, RateSettings  # likewise

    rates = RateSettings(settings.key_rate, settings.user_rate)
    return RateLimits.connect(address, rates, timeout_s=settings.store_timeout_ms / 1000, keys=keys)


def _follow_supervisor() -> None:
    """Have a worker stop when its supervisor has died, even by SIGKILL: nobody else would free the port they share."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(supervisor.sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(supervisor.sentinel, stop)
