"""Connections to the user store: its address, its password, its certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.errors import AddressInvalid, SettingInvalid

SCHEMES = ("redis", "rediss", "unix")
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def connection_pool(
    url: str,
    *,
    password: str | None,
    ca_file: Path | None,
    max_connections: int,
    begin: Callable[[AbstractConnection], Awaitable[None]] | None = None,
) -> BlockingConnectionPool:
    """Connections to the store at ``url`` (redis://, rediss:// or unix://), made when they are first used.

    ``begin`` is what is done first on each, in place of redis-py's own ``on_connect``.

    Raises:
        AddressInvalid: ``url`` is none of these; the message leaves out what might be a password.
        SettingInvalid: see :func:`credentials`.
    """
    options = credentials(url, password=password, ca_file=ca_file)
    check_database(url)
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=max_connections,
            redis_connect_func=begin,
            # One limit lies around each operation. No retries: whether a write whose answer was lost
            # was kept is for the caller to find out, by reading again.
            timeout=None,
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        pool.connection_class(**pool.connection_kwargs)  # an option that redis-py does not know is a TypeError
    except (TypeError, ValueError):
        # The cause is left out: it quotes parts of the address.
        raise _address_invalid() from None
    return pool


def check_database(url: str) -> None:
    """Raise AddressInvalid unless ``url`` names its database by one number, or none; redis-py takes a name for 0."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _address_invalid() from None
    if parts.scheme not in SCHEMES or "@" in parts.path:  # a password with an unescaped "/"
        raise _address_invalid()
    path = "" if parts.scheme == "unix" else unquote(parts.path).removeprefix("/").removesuffix("/")
    named = [*([path] if path else []), *parse_qs(parts.query, keep_blank_values=True).get("db", [])]
    if len(named) > 1 or not all(map(_NUMBER.fullmatch, named)):
        # The names are left out: they may be the rest of a password with an unescaped slash.
        raise AddressInvalid(
            "the user store's address names its database by something else than one number; expected an address as "
            "redis://host:6379/0 or unix:///path?db=0. To keep services apart in one database, give each its own "
            "--redis-prefix (KSHOT_REDIS_PREFIX)"
        )


def credentials(url: str, *, password: str | None, ca_file: Path | None) -> dict[str, Any]:
    """What a client of redis-py has to be told beside the address.

    Args:
        url: the address; it may hold user and password itself.
        password: the password, where it is not in ``url``.
        ca_file: certificates, in PEM, of who may vouch for a rediss:// store; the system's if absent.

    Raises:
        SettingInvalid: the certificates cannot be read, or the address would not use them.
    """
    options: dict[str, Any] = {"password": password} if password else {}
    if ca_file is not None:
        options["ssl_ca_certs"] = str(_readable(ca_file, url))
    return options


def without_secrets(url: str) -> str:
    """The address without user, password and options; raises AddressInvalid if a part of one may be left."""
    parts = urlsplit(url)
    if "@" in parts.path + parts.query or parts.fragment:  # a password with an unescaped "/", "?" or "#"
        raise _address_invalid()
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


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
    except OSError as exc:  # an SSLError is one
        raise SettingInvalid(f"redis_ca_file: {ca_file}, expected certificates in PEM ({exc})") from exc
    return ca_file
