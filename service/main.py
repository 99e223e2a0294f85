"""The composition root: builds the application out of the settings, and runs it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog
from fastapi import FastAPI

from model_store.bundle import ManifestCheck
from service import telemetry
from service.access.gate import Gate
from service.api.access_policy import AccessPolicy
from service.api.app import build_app
from service.api.backend import Backend
from service.flows.feedback import FeedbackFlow
from service.flows.forget import ForgetFlow
from service.scoring.live import LiveBundle
from service.server.memory import freeze_collector
from service.server.processes import follow_supervisor, serve
from service.settings import EdgeSettings, LimitSettings, Settings, read_settings
from service.stores.redis import durability
from service.stores.redis.catalogue import CatalogueMarking
from service.stores.redis.client import ClientOptions, RedisClient
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames
from service.stores.redis.users import RedisUserStore

if TYPE_CHECKING:
    from service.stores.redis.rates import RateLimits

log = structlog.get_logger()


def run(settings: Settings, announce: Callable[[str], None]) -> None:
    """Serve requests until a signal ends this process; ``announce`` takes the address. Raises as ``serve`` does."""
    serve(settings, f"{__name__}:{create_app.__name__}", check_parts, announce)


def create_app() -> FastAPI:
    """The application of one worker, out of the environment.

    Raises:
        ModelStoreError: no bundle is live, or it is refused.
        ServiceError: a setting, the keys file or the user store's address is invalid, or the store cannot keep the
            durability promise, or it holds users of another catalogue.
    """
    settings = read_settings()
    parts = _build(settings)
    live, store, rates = parts.live, parts.store, parts.rates
    deadline_s = settings.store.feedback_deadline_ms / 1000
    flow = FeedbackFlow(store, clock=time.time, deadline_s=deadline_s)
    forget = ForgetFlow(store, deadline_s=deadline_s)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        follow_supervisor()
        renew_mark = partial(parts.marking.renew, parts.client)
        watching = asyncio.create_task(live.watch(settings.model.reload_every_s, renew_mark))
        freeze_collector()
        log.info("ready", bundle=live.model.version, items=len(live.model.catalogue))
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await store.close()
        await parts.client.close()
        if rates is not None:
            await rates.close()
        log.info("stopped")

    return build_app(
        Backend(live, store, flow, forget),
        lifespan,
        access_log=settings.process.access_log,
        max_under_way=settings.limits.max_under_way,
        policy=parts.policy,
        root_path=settings.edge.root_path,
    )


def check_parts() -> None:
    """Build the parts that can fail in :func:`create_app`, raising the same, and drop them.

    An application would stay in memory: FastAPI caches its routes, and they hold the bundle.
    """
    _build(read_settings())


class _Parts(NamedTuple):
    live: LiveBundle
    policy: AccessPolicy
    rates: RateLimits | None
    client: RedisClient
    marking: CatalogueMarking
    store: RedisUserStore


def _build(settings: Settings) -> _Parts:
    telemetry.configure_logs(settings.process.log_level)
    live = LiveBundle(settings.model.bundles, settings.model.threads, _manifest_check(settings))
    options = settings.store
    keys = KeyNames(options.redis_prefix)
    address = StoreAddress(options.redis, options.redis_password(), options.redis_ca_file)
    timeout_s = options.store_timeout_ms / 1000
    rates = _rates(settings.limits, address, timeout_s, keys)
    policy = _policy(settings.edge, rates)
    client_options = ClientOptions(
        address=address,
        timeout_s=timeout_s,
        disk_timeout_s=options.disk_timeout_ms / 1000,
        durability=options.durability,
    )
    marking = CatalogueMarking(live, keys)
    client = RedisClient(client_options, marking.check_connection)
    ttl_s = int(options.user_ttl_days * 86_400)
    store = RedisUserStore(client, keys, ttl_s=ttl_s, served_ttl_s=options.served_ttl_s)
    durability.check(address, options.durability, timeout_s)
    marking.check(address, timeout_s)
    return _Parts(live, policy, rates, client, marking, store)


def _policy(edge: EdgeSettings, rates: RateLimits | None) -> AccessPolicy:
    return AccessPolicy(
        gate=Gate(edge.keys_file) if edge.keys_file else None,
        open_docs=edge.open_docs,
        open_metrics=edge.open_metrics,
        rates=rates,
        cors_origins=edge.origins(),
    )


def _manifest_check(settings: Settings) -> ManifestCheck | None:
    if settings.model.require_signature is None:
        return None
    from model_store.bundle.signature import TrustedKeys  # imported on demand, because its library takes memory

    return TrustedKeys.read(settings.model.require_signature).check


def _rates(limits: LimitSettings, address: StoreAddress, timeout_s: float, keys: KeyNames) -> RateLimits | None:
    if limits.key_rate is None and limits.user_rate is None:
        return None
    from service.stores.redis.rates import RateLimits, RateSettings  # likewise

    return RateLimits.connect(address, RateSettings(limits.key_rate, limits.user_rate), timeout_s=timeout_s, keys=keys)
