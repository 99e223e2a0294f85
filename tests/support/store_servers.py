"""Redis servers for tests, and their clients."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from redis.sentinel import Sentinel

from service.core.ports import Durability
from service.stores import embedded
from service.stores.redis.client import ClientOptions, RedisClient
from service.stores.redis.connection import ConnectionCheck, StoreAddress
from service.stores.redis.key_names import PREFIX, KeyNames
from service.stores.redis.users import SERVED_DELAY_S, RedisUserStore

PASSWORD = "s3cret/?#@:%"  # with all characters that an address must escape
DEADLINE_S = 10.0


def wait_until(condition: Callable[[], object]) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not true in time"
        time.sleep(0.005)


class ConnectedUserStore(RedisUserStore):
    """A user store that closes its client."""

    def __init__(self, client: RedisClient, keys: KeyNames, *, served_delay_s: float) -> None:
        super().__init__(client, keys, ttl_s=1000, served_ttl_s=100, served_delay_s=served_delay_s)
        self.client = client

    async def close(self) -> None:
        await super().close()
        await self.client.close()


def connect_client(
    url: str,
    *,
    password: str | None = None,
    ca_file: Path | None = None,
    timeout_s: float = 5.0,
    disk_timeout_s: float = 5.0,
    durability: Durability = "durable",
    max_connections: int = 16,
    check: ConnectionCheck | None = None,
) -> RedisClient:
    options = ClientOptions(
        address=StoreAddress(url, password, ca_file),
        timeout_s=timeout_s,
        disk_timeout_s=disk_timeout_s,
        durability=durability,
        max_connections=max_connections,
    )
    return RedisClient(options, check)


def connect(
    url: str, *, prefix: str = PREFIX, served_delay_s: float = SERVED_DELAY_S, **options: Any
) -> ConnectedUserStore:
    """A user store; ``options`` are those of :func:`connect_client`."""
    return ConnectedUserStore(connect_client(url, **options), KeyNames(prefix), served_delay_s=served_delay_s)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def debian_redis(folder: Path, port: int, *options: str) -> Iterator[None]:
    """Debian's redis-server on TCP, with a password and nothing on disk."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    command = [program, "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "", *options]
    with (folder / "redis.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log)
    try:
        wait_until(lambda: listens(port))
        yield
    finally:
        server.terminate()
        server.wait()


@contextmanager
def valkey_on_tcp(folder: Path, port: int, *options: str) -> Iterator[Redis]:
    """The embedded server's program on TCP; yields a client."""
    folder.mkdir(exist_ok=True)
    command = [embedded._binary(), "--bind", "127.0.0.1", "--port", str(port)]
    command += ["--appendonly", "yes", "--appendfsync", "always"]
    with (folder / "valkey.log").open("w") as log:
        server = subprocess.Popen([*command, *options], cwd=folder, stdout=log)
    try:
        wait_until(lambda: listens(port))
        with Redis(port=port, socket_timeout=DEADLINE_S) as client:
            yield client
    finally:
        server.terminate()
        server.wait()


@contextmanager
def sentinel(folder: Path, primary_port: int) -> Iterator[Sentinel]:
    """A sentinel that promotes a replica soon after the primary, named "kshot", is gone."""
    port = free_port()
    folder.mkdir()
    configuration = folder / "sentinel.conf"
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {folder}\nsentinel monitor kshot 127.0.0.1 {primary_port} 1\n"
        "sentinel down-after-milliseconds kshot 500\nsentinel failover-timeout kshot 3000\n"
    )
    with (folder / "sentinel.log").open("w") as log:
        server = subprocess.Popen([embedded._binary(), str(configuration), "--sentinel"], stdout=log)
    try:
        wait_until(lambda: listens(port))
        yield Sentinel([("127.0.0.1", port)], socket_timeout=DEADLINE_S)
    finally:
        server.terminate()
        server.wait()


@contextmanager
def failing_syncs(pid: int) -> Iterator[None]:
    """Make every sync of a process to disk fail with an input/output error."""
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    inject = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"]
    tracer = subprocess.Popen([program, "-f", "-p", str(pid), *inject], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        message = tracer.stderr.readline()
        if "attached" not in message:
            pytest.skip(f"strace may not trace other processes here: {message}")
        yield
    finally:
        tracer.kill()  # SIGTERM would first wait for the threads of a process that is gone
        tracer.communicate()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def server_pid(url: str) -> int:
    with Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def answers(url: str) -> bool:
    with Redis.from_url(url, retry=None) as client:
        try:
            return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def tls_redis(folder: Path) -> Iterator[tuple[int, Path]]:
    """Debian's redis-server over TLS only, with a password: its port and its certificate."""
    key, certificate = self_signed_certificate(folder)
    port = free_port()
    tls = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no")
    with debian_redis(folder, port, "--port", "0", "--tls-port", str(port), *tls):
        yield port, certificate


def self_signed_certificate(folder: Path) -> tuple[Path, Path]:
    """Key and self-signed certificate for 127.0.0.1."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "1", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return key, certificate
