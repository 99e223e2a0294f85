"""Connections to the user store: address, password, certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from service.errors import AddressInvalid, SettingInvalid

SCHEMES = ("redis", "rediss", "unix")
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)

ConnectionCheck = Callable[[AbstractConnection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """The address of a store, and the credentials that are not in it.

    Attributes:
        url: redis://, rediss:// or unix:// address; may hold user, password and database.
        password: the password, unless ``url`` holds it.
        ca_file: certificates (PEM) of the authorities trusted for a rediss:// store; None trusts the system's.
    """

    url: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    def pool(self, max_connections: int, begin: ConnectionCheck | None = None) -> BlockingConnectionPool:
        """A pool whose connections open at first use.

        ``begin`` initialises every new connection, in place of redis-py's own ``on_connect``.

        Raises:
            AddressInvalid: ``url`` cannot be used; the message leaves out what might be a password.
            SettingInvalid: the certificates cannot be read, or the address would not use them.
        """
        options = self._options()
        _check_database(self.url)
        try:
            pool = BlockingConnectionPool.from_url(
                self.url,
                max_connections=max_connections,
                redis_connect_func=begin,
                # RedisClient limits the time of a whole operation. It never retries: after a lost answer the caller
                # has to read again to learn whether the write was stored.
                timeout=None,
                socket_timeout=None,
                socket_connect_timeout=None,
                retry=AsyncRetry(NoBackoff(), 0),
                **options,
            )
            pool.connection_class(**pool.connection_kwargs)  # raises TypeError for an option unknown to redis-py
        except (TypeError, ValueError):
            # The cause is left out: it quotes parts of the address.
            raise _address_invalid() from None
        return pool

    def blocking_client(self, timeout_s: float) -> Redis:
        """A client for checks at the start, before the event loop runs.

        Raises:
            ValueError: ``url`` cannot be parsed.
            SettingInvalid: as :meth:`pool` does.
        """
        limits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": Retry(NoBackoff(), 0)}
        return Redis.from_url(self.url, **limits, **self._options())

    @property
    def without_secrets(self) -> str:
        """The address without user, password and options; raises AddressInvalid if part of one might remain."""
        parts = urlsplit(self.url)
        if "@" in parts.path + parts.query or parts.fragment:  # a password with an unescaped "/", "?" or "#"
            raise _address_invalid()
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _options(self) -> dict[str, Any]:
        """Options of redis-py's clients besides the address."""
        options: dict[str, Any] = {"password": self.password} if self.password else {}
        if self.ca_file is not None:
            options["ssl_ca_certs"] = str(_readable(self.ca_file, self.url))
        return options


def _check_database(url: str) -> None:
    """Raise AddressInvalid unless ``url`` names its database by at most one number; redis-py takes a name for 0."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _address_invalid() from None
    if parts.scheme not in SCHEMES or "@" in parts.path:  # a password with an unescaped "/"
        raise _address_invalid()
    path = "" if parts.scheme == "unix" else unquote(parts.path).removeprefix("/").removesuffix("/")
    names = [*([path] if path else []), *parse_qs(parts.query, keep_blank_values=True).get("db", [])]
    if len(names) > 1 or not all(map(_NUMBER.fullmatch, names)):
        # The names are left out: they may be the rest of a password with an unescaped slash.
        raise AddressInvalid(
            "the user store's address must name its database by one number; expected an address as "
            "redis://host:6379/0 or unix:///path?db=0. To keep services apart in one database, give each its own "
            "--redis-prefix (KSHOT_REDIS_PREFIX)"
        )


def _address_invalid() -> AddressInvalid:
    return AddressInvalid(
        "the user store's address cannot be read; expected redis://, rediss:// or unix:///path, "
        "with special characters in a password percent-encoded and only options that redis-py knows"
    )


def _readable(ca_file: Path, url: str) -> Path:
    if not url.startswith("rediss://"):
        raise SettingInvalid(f"redis_ca_file: {ca_file}, expected none, or a rediss:// address to use it with")
    try:
        ssl.create_default_context(cafile=ca_file)
    except OSError as exc:  # SSLError included
        raise SettingInvalid(f"redis_ca_file: {ca_file}, expected certificates in PEM ({exc})") from exc
    return ca_file
