"""Addresses, passwords and certificates of the user store."""

from __future__ import annotations

import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from store_servers import PASSWORD, connect_client, tls_redis

from service.errors import AddressInvalid, SettingInvalid, StoreUnavailable
from service.stores.redis.connection import StoreAddress


@pytest.mark.anyio
async def test_a_password_may_be_given_beside_the_address(debian_port: int) -> None:
    client = connect_client(f"redis://127.0.0.1:{debian_port}", password=PASSWORD, durability="fast")
    await client.ping()
    await client.close()


@pytest.mark.anyio
@pytest.mark.parametrize("user", ["", "someone"])
async def test_a_wrong_password_is_refused_and_not_shown(debian_port: int, user: str) -> None:
    client = connect_client(f"redis://{user}:wrong-one@127.0.0.1:{debian_port}/0")
    with pytest.raises(StoreUnavailable, match=f"user store redis://127.0.0.1:{debian_port}/0: ") as caught:
        await client.ping()
    assert "wrong-one" not in "".join(traceback.format_exception(caught.value))
    await client.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2@127.0.0.1",
        "127.0.0.1:6379?hunter2",
        "redis://:hunter2/x@127.0.0.1",
        "redis://:1/hunter2@127.0.0.1",
        "redis://:1#hunter2@127.0.0.1",
        "redis://:1?hunter2@127.0.0.1",
    ],
)
def test_an_unusable_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(AddressInvalid, match="percent-encoded") as caught:
        connect_client(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value, limit=0))


def test_an_address_shows_no_password() -> None:
    assert "hunter2" not in repr(StoreAddress("redis://:hunter2@127.0.0.1", "hunter2"))


@pytest.mark.parametrize(
    "url",
    [
        *("redis://here/staging", "redis://here/prod", "rediss://here:6380/staging", "redis://here/1/2"),
        *("redis://here/-1", "redis://here/1.0", "redis://here//1", "redis://here/\uff11", "redis://here/0x1"),
        *("redis://:hunter2@here/db0", "redis://here?db=staging", "redis://here?db=", "redis://here?db=-1"),
        *("redis://here/1?db=2", "redis://here?db=1&db=2"),
        *("unix:///run/redis.sock?db=staging", "unix:///run/redis.sock?db=1&db=2"),
    ],
)
def test_a_database_without_a_number_is_refused(url: str) -> None:
    """redis-py takes all of them for database 0, or for a number built of their digits."""
    with pytest.raises(AddressInvalid, match=r"expected an address as redis://host:6379/0 .* --redis-prefix") as caught:
        StoreAddress(url).pool(1)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "database"),
    [
        *(("redis://here", 0), ("redis://here/", 0), ("redis://here/3", 3), ("redis://here/3/", 3)),
        *(("redis://here?db=4", 4), ("unix:///run/redis.sock", 0), ("unix:///run/redis.sock?db=5", 5)),
        ("rediss://here:6380/6", 6),
    ],
)
def test_a_database_is_read_from_the_address(url: str, database: int) -> None:
    assert StoreAddress(url).pool(1).connection_kwargs.get("db") in (database, database or None)


def test_an_unknown_option_is_refused_at_the_start() -> None:
    with pytest.raises(AddressInvalid, match="only options that redis-py knows"):
        StoreAddress("redis://here?databse=1").pool(1)


@pytest.mark.parametrize(
    ("url", "message"), [("redis://here", "expected none, or a rediss://"), ("rediss://here", "PEM")]
)
def test_unusable_certificates_are_refused_at_the_start(tmp_path: Path, url: str, message: str) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingInvalid, match=f"redis_ca_file: .*ca.pem, .*{message}"):
        StoreAddress(url, ca_file=tmp_path / "ca.pem").pool(1)


@pytest.mark.anyio
async def test_tls_with_a_password_works(tmp_path: Path) -> None:
    with tls_redis(tmp_path) as (port, certificate):
        address = f"rediss://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/0"
        trusting, doubting = connect_client(address, ca_file=certificate), connect_client(address)
        await trusting.ping()
        with pytest.raises(StoreUnavailable, match="certificate"):
            await doubting.ping()
        await trusting.close()
        await doubting.close()
