"""The mark of the users' catalogue in the store.

The first service writes the mark, and every other one compares it: at its start, on every new connection (the store may
have been unreachable at the start, or another store may answer at its address), and when it swaps to another bundle.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import structlog
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from service.catalogue.snapshot import LiveSnapshot
from service.core.identity import CatalogueMark
from service.errors import StoreUnavailable, StoreUnsuitable
from service.stores.redis.client import RedisClient
from service.stores.redis.connection import StoreAddress
from service.stores.redis.key_names import KeyNames
from service.stores.redis.scripts import Command

log = structlog.get_logger()


class CatalogueMarking:
    """Compares the mark in the store with the live bundle, and writes a missing mark."""

    def __init__(self, live: LiveSnapshot, keys: KeyNames) -> None:
        """Take the holder of the live snapshot, and the names of the keys."""
        self._live, self._key = live, keys.catalogue
        # The last matching mark and bundle version: new connections usually compare the same two.
        self._accepted: tuple[bytes, str] | None = None

    def check(self, address: StoreAddress, timeout_s: float) -> None:
        """Refuse a store whose users belong to another catalogue; mark a store without a mark.

        A store that does not answer is checked on connection.

        Raises:
            StoreUnsuitable: the message names both bundles and the remedies.
        """
        try:
            with closing(address.blocking_client(timeout_s)) as client:
                stored = client.get(self._key)
                if stored is None and not client.set(self._key, self._encoded_mark(), nx=True):
                    stored = client.get(self._key)
                self._compare(stored)
                if stored is not None:
                    client.set(self._key, self._encoded_mark())
        except (RedisError, OSError, ValueError) as exc:
            log.warning("catalogue of the user store not checked", reason=type(exc).__name__)

    async def check_connection(self, connection: AbstractConnection) -> None:
        """Compare the mark on a new connection, or write a missing one.

        Raises:
            RedisError: the users belong to another catalogue.
        """
        stored = await _execute(connection, ("GET", self._key))
        if isinstance(stored, ResponseError):  # the store hides the key
            return
        if stored is None and await _execute(connection, ("SET", self._key, self._encoded_mark(), "NX")) is None:
            stored = await _execute(connection, ("GET", self._key))
        try:
            self._compare(stored)
        except StoreUnsuitable as exc:
            raise RedisError(str(exc)) from exc

    async def renew(self, client: RedisClient) -> None:
        """Write the mark of the live bundle, so that the mark follows a changing catalogue; log a failure."""
        try:
            (stored,) = await client.read([("GET", self._key)])
            if isinstance(stored, StoreUnavailable):
                raise stored
            self._compare(stored)
            await client.cache(("SET", self._key, self._encoded_mark()))
        except (StoreUnsuitable, StoreUnavailable) as exc:
            log.warning("catalogue of the user store not marked", reason=str(exc))

    def _encoded_mark(self) -> bytes:
        model = self._live.snapshot.model
        return CatalogueMark.of(model.version, model.catalogue).encode()

    def _compare(self, stored: Any) -> None:
        """Raise StoreUnsuitable if ``stored`` is damaged or the mark of another catalogue; None passes."""
        model = self._live.snapshot.model
        if stored is None or self._accepted == (stored, model.version):
            return
        try:
            mark = CatalogueMark.decode(stored)
        except ValueError as exc:
            raise StoreUnsuitable(f"the user store's key {self._key} is {exc}; {self._remedy()}") from exc
        if not mark.is_of(model.catalogue):
            raise StoreUnsuitable(
                f"the user store holds users of another catalogue: bundle {mark.bundle}, which they belong to, and "
                f"bundle {model.version}, which is to be served, share almost no items; {self._remedy()}"
            )
        self._accepted = stored, model.version

    def _remedy(self) -> str:
        return (
            "expected users of this catalogue: set another --redis-prefix (KSHOT_REDIS_PREFIX), database or "
            f"--data-dir; or give these users to this catalogue for good with: redis-cli DEL {self._key}"
        )


async def _execute(connection: AbstractConnection, command: Command) -> Any:
    """The reply to a command; an error of the server, such as of a full store or a replica, is returned."""
    await connection.send_command(*command)
    try:
        return await connection.read_response()
    except ResponseError as exc:
        return exc
