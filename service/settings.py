"""Settings of one service, out of the environment (``KSHOT_…``), in groups, frozen.

Every process reads them once: the command, which first puts its options into the environment, and each worker.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.core.ports import Durability
from service.errors import SettingInvalid, expectation

EMBEDDED = "embedded"
BUNDLES, FORMER_BUNDLES = "KSHOT_BUNDLES", "KSHOT_STORE"
MAX_TTL_DAYS = 36_500  # the store refuses lifetimes whose milliseconds exceed 64 bits
# Paths of the service with others below them. Under a prefix of such a name a request would be ambiguous.
BRANCHES = ("/users", "/health", "/docs")
_ROOT_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)
# The form of a variable that Kubernetes sets for each Service of the namespace, as Docker's links did.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


class _Group(BaseSettings):
    """Fields read from the environment: ``port`` is ``KSHOT_PORT``. An empty variable counts as unset."""

    model_config = SettingsConfigDict(env_prefix="KSHOT_", frozen=True, extra="forbid", env_ignore_empty=True)

    @field_validator("*", mode="before")
    @classmethod
    def _not_blank(cls, value: object) -> object:
        if isinstance(value, str) and value and not value.strip():
            raise PydanticCustomError(
                "blank", "Input should be a value, not blanks alone; leave it empty for the default"
            )
        return value


class ModelSettings(_Group):
    """Bundles, and the model of the live one."""

    bundles: Path = Field(
        Path("store"),
        validation_alias=AliasChoices(BUNDLES, FORMER_BUNDLES),
        description="folder of the bundles; the live one is served. Its former name KSHOT_STORE still works",
    )
    require_signature: Path | None = Field(
        None, description="public keys (PEM); only bundles signed by one of them are served"
    )
    reload_every_s: float = Field(1.0, gt=0, description="seconds between checks for a new live bundle")
    threads: int = Field(
        1, ge=1, le=64, description="intra-op threads of each graph; more workers scale better than more threads"
    )


class StoreSettings(_Group):
    """The user store, and how long it keeps users."""

    redis: str = Field(
        EMBEDDED,
        description='redis://, rediss:// or unix:// address of the user store, or "embedded" to run one',
    )
    redis_password_file: Path | None = Field(
        None,
        description="file with the store's password, which keeps it out of the address and the process list",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="certificates (PEM) of trusted authorities for a rediss:// store; the system's if absent",
    )
    redis_prefix: str = Field(
        "kshot",
        description="beginning of every key in the user store; services with different catalogues need different "
        "prefixes on a shared database",
    )
    data_dir: Path | None = Field(
        None, description="folder of the embedded store's data; users in the bundles folder if absent"
    )
    durability: Durability = Field(
        "durable",
        description="when feedback is acknowledged: once the store has it on disk (durable); once a replica has it, "
        "too (replicated); or at once, so that feedback not yet on disk can be lost (fast)",
    )
    store_timeout_ms: int = Field(
        200,
        ge=1,
        le=60_000,
        description="longest wait for the user store; after it GET degrades and POST refuses",
    )
    disk_timeout_ms: int = Field(
        500,
        ge=1,
        le=60_000,
        description="longest wait, beyond the store's answer, until feedback is on disk, and as long again until it is "
        "on a replica; after it POST refuses",
    )
    feedback_deadline_ms: int = Field(
        1000,
        ge=1,
        le=60_000,
        description="longest time for POST /feedback to win against other writers to the same user",
    )
    user_ttl_days: float = Field(
        365.0,
        ge=0.0001,  # 9 seconds: the store refuses lifetimes below one second
        le=MAX_TTL_DAYS,
        description="days after the last feedback or list until a user is forgotten; the default covers yearly habits",
    )
    served_ttl_s: int = Field(
        3600, ge=1, le=MAX_TTL_DAYS * 86_400, description="seconds a served list is kept to measure the hit rate"
    )

    def redis_password(self) -> str | None:
        """The store's password out of its file, None without one; raises SettingInvalid if it cannot be read."""
        if self.redis_password_file is None:
            return None
        try:
            return self.redis_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingInvalid(
                f"redis_password_file: {self.redis_password_file}, expected a text file with the password ({exc})"
            ) from exc


class EdgeSettings(_Group):
    """The address, and the access to it."""

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    root_path: str = Field(
        "",
        description="path under which a proxy publishes the service, e.g. /kshot, whether or not the proxy strips it",
    )
    keys_file: Path | None = Field(None, description="file of the API keys, made by kshot keys; absent requires none")
    open: bool = Field(default=False, description="listen beyond this machine without API keys")
    open_docs: bool = Field(default=False, description="with API keys: /docs needs none")
    open_metrics: bool = Field(default=False, description="with API keys: /metrics needs none from this machine")
    cors_origins: str = Field("", description="origins whose pages may send requests from a browser, comma-separated")

    @field_validator("root_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        path = value.removesuffix("/")
        if not _ROOT_PATH.fullmatch(path):
            raise PydanticCustomError(
                "root_path", "Input should be a path like /kshot, of letters, digits and . _ ~ - between slashes"
            )
        if path.startswith(tuple(f"{branch}/" for branch in BRANCHES)) or path in BRANCHES:
            raise PydanticCustomError(
                "service_path",
                "Input should be another path than the service's own {paths}",
                {"paths": ", ".join(BRANCHES)},
            )
        return path

    def origins(self) -> tuple[str, ...]:
        """``cors_origins`` as single origins."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())


class LimitSettings(_Group):
    """Limits on clients."""

    key_rate: str | None = Field(None, description="most requests per API key, e.g. 1000/second; no limit if absent")
    user_rate: str | None = Field(None, description="most requests per user, e.g. 20/second; no limit if absent")
    max_under_way: int = Field(
        512,
        ge=1,
        le=65_536,
        description="most requests in progress per worker; one more gets 503 with Retry-After. At 2,000 requests a "
        "second the last of 512 waits a quarter of a second",
    )
    client_timeout_s: float = Field(
        30.0,
        gt=0,
        description="longest time for a client to send a request or to read its response; then the connection ends",
    )
    max_connections: int = Field(
        16_384,
        ge=1,
        description="most connections per worker, as far as descriptors allow; one more ends the one idle for longest",
    )


class ProcessSettings(_Group):
    """Workers, logs and metrics."""

    workers: int = Field(1, ge=1, le=256, description="processes that share the port")
    shutdown_s: int = Field(10, ge=0, description="seconds for running requests to finish at shutdown")
    metrics_dir: Path | None = Field(
        None,
        description="folder in which several workers share their metrics; if absent, PROMETHEUS_MULTIPROC_DIR or the "
        "folder of temporary files",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe events to log")
    access_log: bool = Field(default=False, description="log every request")


class Settings(BaseModel):
    """All settings, in groups. The groups do not show in the names of the environment's variables."""

    model_config = ConfigDict(frozen=True)

    model: ModelSettings = Field(description="Bundles")
    store: StoreSettings = Field(description="User store")
    edge: EdgeSettings = Field(description="Address and access")
    limits: LimitSettings = Field(description="Limits on clients")
    process: ProcessSettings = Field(description="Workers, logs and metrics")

    def require_keys_beyond_loopback(self) -> None:
        """Raise SettingInvalid for a service reachable from other machines without API keys, unless ``open`` is set."""
        edge = self.edge
        if edge.keys_file is None and not edge.open and not _is_loopback(edge.host):
            raise SettingInvalid(
                f"host: {edge.host} can be reached from beyond this machine, expected a keys_file (KSHOT_KEYS_FILE), "
                "made with: kshot keys new; or --open (KSHOT_OPEN=true) to admit all clients"
            )
        if edge.keys_file is None and self.limits.key_rate is not None:
            raise SettingInvalid(f"key_rate (KSHOT_KEY_RATE): {self.limits.key_rate}, expected keys_file beside it")

    def require_replica(self) -> None:
        """Raise SettingInvalid for replicated durability on the embedded store, which has no replica."""
        if self.store.durability == "replicated" and self.store.redis == EMBEDDED:
            raise SettingInvalid(
                "durability (KSHOT_DURABILITY): replicated, expected the redis (KSHOT_REDIS) of a primary beside it, "
                "because the embedded store has no replica; or durable"
            )


def read_settings() -> Settings:
    """The settings of this process; raises SettingInvalid for the first invalid one."""
    _require_one_folder()
    try:
        settings = Settings(
            model=ModelSettings(),
            store=StoreSettings(),
            edge=EdgeSettings(),
            limits=LimitSettings(),
            process=ProcessSettings(),
        )
    except ValidationError as exc:
        raise _invalid(exc) from exc
    settings.require_keys_beyond_loopback()
    settings.require_replica()
    return settings


def _require_one_folder() -> None:
    bundles, former = os.environ.get(BUNDLES), os.environ.get(FORMER_BUNDLES)
    if bundles and former and bundles != former:
        raise SettingInvalid(
            f"{BUNDLES} {bundles} and {FORMER_BUNDLES} {former}: expected one of them; {FORMER_BUNDLES} is the former "
            "name"
        )


def _invalid(exc: ValidationError) -> SettingInvalid:
    first = exc.errors()[0]
    # The location is the field's name, or the first of its variables where the field has several.
    name = ".".join(str(part) for part in first["loc"])
    if name == BUNDLES and not os.environ.get(BUNDLES):
        name = FORMER_BUNDLES
    name = name.removeprefix("KSHOT_").lower()
    link = _service_link(name, first["input"])
    return SettingInvalid(
        f"{name} (KSHOT_{name.upper()}): {first['input']}, expected {expectation(first['msg'])}{link}"
    )


def _service_link(name: str, value: object) -> str:
    """An explanation of a value that Kubernetes set: it sets variables named after its Services."""
    if not (name.endswith("port") and isinstance(value, str) and _SERVICE_LINK.match(value)):
        return ""
    return (
        f". Kubernetes sets KSHOT_{name.upper()} to such an address in every pod beside a Service named kshot: write "
        "enableServiceLinks: false into the pod's spec, or give the Service another name"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
