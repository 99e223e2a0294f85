"""The mark in the store that says which catalogue its users belong to.

The first service writes it, and every other one compares: at its start, on each new connection (the store may have been
away at the start, or another one may answer at its address) and when it swaps to another bundle.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any, Protocol

import structlog
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from service.core.identity import CatalogueMark
from service.core.ports import Model
from service.errors import StoreUnsuitable
from service.stores.redis.key_names import PREFIX, catalogue_key
from service.stores.redis.scripts import Command

log = structlog.get_logger()


class Live(Protocol):
    """The live bundle as the mark sees it."""

    @property
    def model(self) -> Model:
        """The model that new requests get."""


class CatalogueMarking:
    """Compares the mark in the store with the live bundle, and writes it where there is none."""

    def __init__(self, live: Live, prefix: str = PREFIX) -> None:
        """Take the holder of the live bundle, and the beginning of every key."""
        self._live, self._key = live, catalogue_key(prefix)
        # The mark compared last, and the version it was compared with: new connections usually meet the same two.
        self._accepted: tuple[bytes, str] | None = None

    def check(self, url: str, credentials: dict[str, Any], timeout_s: float) -> None:
        """Refuse a store whose users belong to another catalogue; mark one that has no mark.

        A store that does not answer is looked at when it does.

        Raises:
            StoreUnsuitable: the message names both bundles and says what to do.
        """
        limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
        try:
            with closing(Redis.from_url(url, **limits, **credentials)) as client:
                stored = client.get(self._key)
                if stored is None and not client.set(self._key, self._encoded_mark(), nx=True):
                    stored = client.get(self._key)
                self._compare(stored)
                if stored is not None:
                    client.set(self._key, self._encoded_mark())
        except (RedisError, OSError, ValueError) as exc:
            log.warning("catalogue of the user store not checked", reason=type(exc).__name__)

    async def check_connection(self, connection: AbstractConnection) -> None:
        """Compare the mark on a new connection, or write it.

        Raises:
            RedisError: the users belong to another catalogue.
        """
        stored = await _ask(connection, ("GET", self._key))
        if isinstance(stored, ResponseError):  # hidden by whoever runs it
            return
        if stored is None and await _ask(connection, ("SET", self._key, self._encoded_mark(), "NX")) is None:
            stored = await _ask(connection, ("GET", self._key))
        try:
            self._compare(stored)
        except StoreUnsuitable as exc:
            raise RedisError(str(exc)) from exc

    async def renew(self, client: AsyncRedis, timeout_s: float) -> None:
        """Mark the store with the live bundle, so that the mark follows a catalogue that changes; log a failure."""
        try:
            async with asyncio.timeout(timeout_s):
                self._compare(await client.get(self._key))
                await client.set(self._key, self._encoded_mark())
        except (StoreUnsuitable, RedisError, OSError) as exc:  # a TimeoutError is an OSError
            log.warning("catalogue of the user store not marked", reason=str(exc) or type(exc).__name__)

    def _encoded_mark(self) -> bytes:
        model = self._live.model
        return CatalogueMark.of(model.version, model.catalogue).encode()

    def _compare(self, stored: Any) -> None:
        """Raise StoreUnsuitable if ``stored`` is the mark of another catalogue, or none; None is no mark."""
        model = self._live.model
        if stored is None or self._accepted == (stored, model.version):
            return
        try:
            mark = CatalogueMark.decode(stored)
        except ValueError as exc:
            raise StoreUnsuitable(f"the user store's key {self._key} is {exc}; {self._remedy()}") from exc
        if not mark.is_of(model.catalogue):
            raise StoreUnsuitable(
                f"the user store holds users of another catalogue: of its items in bundle {mark.bundle} nearly none is "
                f"in bundle {model.version}, which is to be served; {self._remedy()}"
            )
        self._accepted = stored, model.version

    def _remedy(self) -> str:
        return (
            "expected users of this catalogue: set another --redis-prefix (KSHOT_REDIS_PREFIX), database or "
            f"--data-dir; or give these users to this catalogue for good with: redis-cli DEL {self._key}"
        )


async def _ask(connection: AbstractConnection, command: Command) -> Any:
    """A reply, or the refusal of a store that is full, a replica, or hides the key."""
    await connection.send_command(*command)
    try:
        return await connection.read_response()
    except ResponseError as exc:
        return exc
