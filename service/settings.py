"""Settings of one service process: from the environment (``KSHOT_…``), frozen, read once by ``main``."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.core.ports import Durability
from service.errors import SettingInvalid, expectation
from service.stores.redis.key_names import PREFIX, checked_prefix

EMBEDDED = "embedded"
MAX_TTL_DAYS = 36_500  # the store refuses lives that do not fit 64 bits of milliseconds
# Paths of the service that have more below them: under a prefix of one of these names a request would be ambiguous.
BRANCHES = ("/users", "/health", "/docs")
_ROOT_PATH = re.compile(r"(/[\w.~-]+)*", re.ASCII)
# The form of a variable that Kubernetes sets for each Service of the namespace, as Docker's links did.
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


class Settings(BaseSettings):
    """Every field is an environment variable: ``store`` is ``KSHOT_STORE``. An empty variable is an unset one."""

    model_config = SettingsConfigDict(env_prefix="KSHOT_", frozen=True, extra="forbid", env_ignore_empty=True)

    store: Path = Field(Path("store"), description="folder of the bundles; the live one is served")
    redis: str = Field(
        EMBEDDED,
        description='redis://, rediss:// or unix:// address of the user store, or "embedded" to run one',
    )
    redis_password_file: Path | None = Field(
        None,
        description="file with the store's password, so that it stands in no address and no process list",
    )
    redis_ca_file: Path | None = Field(
        None,
        description="certificates (PEM) of who may vouch for a rediss:// store; the system's if absent",
    )
    redis_prefix: str = Field(
        PREFIX,
        description="beginning of every key in the user store; services of different catalogues on one database need "
        "different ones",
    )
    data_dir: Path | None = Field(None, description="folder of the embedded store's data; STORE/users if absent")
    host: str = Field("127.0.0.1", description="address to listen on")
    keys_file: Path | None = Field(None, description="file of the API keys, made by kshot keys; absent asks for none")
    open: bool = Field(default=False, description="listen beyond this machine without API keys")
    open_docs: bool = Field(default=False, description="with API keys: /docs needs none")
    open_metrics: bool = Field(default=False, description="with API keys: /metrics needs none on this machine")
    key_rate: str | None = Field(None, description="most requests of a key, e.g. 1000/second; absent sets no limit")
    user_rate: str | None = Field(None, description="most requests about a user, e.g. 20/second; absent sets no limit")
    cors_origins: str = Field("", description="origins whose pages may ask from a browser, separated by commas")
    require_signature: Path | None = Field(
        None,
        description="public keys (PEM); only bundles that one of them signed are served",
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    root_path: str = Field(
        "",
        description="path under which a proxy publishes the service, e.g. /kshot, whether or not the proxy strips it",
    )
    workers: int = Field(1, ge=1, le=256, description="processes that share the port")
    store_timeout_ms: int = Field(
        200,
        ge=1,
        le=60_000,
        description="longest wait for the user store; then GET degrades and POST refuses",
    )
    durability: Durability = Field(
        "durable",
        description="when feedback is acknowledged: once the store has it on disk (durable), once a replica has it, "
        "too (replicated), or at once, and what was not on disk may be lost (fast)",
    )
    disk_timeout_ms: int = Field(
        500,
        ge=1,
        le=60_000,
        description="longest wait, beyond the store's answer, for feedback to be on disk, and as long again for it to "
        "be on a replica; then POST refuses",
    )
    feedback_deadline_ms: int = Field(
        1000,
        ge=1,
        le=60_000,
        description="longest time for POST /feedback to win against other writers to one user",
    )
    user_ttl_days: float = Field(
        365.0,
        ge=0.0001,  # 9 seconds: the store refuses lives of no second
        le=MAX_TTL_DAYS,
        description="days after the last contact, feedback or a list, when a user is forgotten; yearly habits fit",
    )
    served_ttl_s: int = Field(
        3600, ge=1, le=MAX_TTL_DAYS * 86_400, description="seconds a served list is kept to measure the hit rate"
    )
    threads: int = Field(
        1, ge=1, le=64, description="intra-op threads of each graph; workers scale better than threads"
    )
    max_under_way: int = Field(
        512,
        ge=1,
        le=65_536,
        description="requests that a worker has under way at most; one more gets 503 with Retry-After. "
        "At 2,000 a second the last of 512 waits a quarter of a second",
    )
    reload_every_s: float = Field(1.0, gt=0, description="seconds between looks at which bundle is live")
    client_timeout_s: float = Field(
        30.0,
        gt=0,
        description="longest time for a client to send a request, or to take its answer; then the connection ends",
    )
    max_connections: int = Field(
        16_384,
        ge=1,
        description="connections of a worker, as far as descriptors allow; one more ends the one that waited longest",
    )
    shutdown_s: int = Field(10, ge=0, description="seconds that running requests get to finish at shutdown")
    metrics_dir: Path | None = Field(
        None,
        description="folder in which several workers share their metrics; PROMETHEUS_MULTIPROC_DIR, or the folder of "
        "temporary files, if absent",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe event to log")
    access_log: bool = Field(default=False, description="log every request")

    @field_validator("*", mode="before")
    @classmethod
    def _not_blank(cls, value: object) -> object:
        if isinstance(value, str) and value and not value.strip():
            raise PydanticCustomError(
                "blank", "Input should be a value, not blanks alone; leave it empty for the default"
            )
        return value

    @field_validator("root_path")
    @classmethod
    def _plain_path(cls, value: str) -> str:
        path = value.removesuffix("/")
        if not _ROOT_PATH.fullmatch(path):
            raise PydanticCustomError(
                "root_path", "Input should be a path as /kshot, of letters, digits and . _ ~ - between slashes"
            )
        if path.startswith(tuple(f"{branch}/" for branch in BRANCHES)) or path in BRANCHES:
            raise PydanticCustomError(
                "own_path",
                "Input should be another path than the service's own {paths}",
                {"paths": ", ".join(BRANCHES)},
            )
        return path

    @field_validator("redis_prefix")
    @classmethod
    def _prefix_of_keys(cls, value: str) -> str:
        return checked_prefix(value)

    def must_not_be_open(self) -> None:
        """Raise SettingInvalid if others than this machine could ask, no key is wanted, and nobody said so."""
        if self.keys_file is None and not self.open and not _is_loopback(self.host):
            raise SettingInvalid(
                f"host: {self.host} can be reached from beyond this machine, expected a keys_file (KSHOT_KEYS_FILE), "
                "made with: kshot keys new; or --open (KSHOT_OPEN=true) to let everybody in"
            )
        if self.keys_file is None and self.key_rate is not None:
            raise SettingInvalid(f"key_rate (KSHOT_KEY_RATE): {self.key_rate}, expected keys_file beside it")

    def must_have_a_replica(self) -> None:
        """Raise SettingInvalid if feedback had to wait for a replica of a store that has none."""
        if self.durability == "replicated" and self.redis == EMBEDDED:
            raise SettingInvalid(
                "durability (KSHOT_DURABILITY): replicated, expected the redis (KSHOT_REDIS) of a primary beside it, "
                "since the embedded store has no replica; or durable"
            )

    def origins(self) -> tuple[str, ...]:
        """``cors_origins``, one by one."""
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())

    def redis_password(self) -> str | None:
        """The store's password from its file, if one is named; raises SettingInvalid if it cannot be read."""
        if self.redis_password_file is None:
            return None
        try:
            return self.redis_password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingInvalid(
                f"redis_password_file: {self.redis_password_file}, expected a text file with the password ({exc})"
            ) from exc


def read_settings() -> Settings:
    """The settings of this process; raises SettingInvalid, which names the first wrong one."""
    try:
        settings = Settings()
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        link = _service_link(name, first["input"])
        raise SettingInvalid(
            f"{name} (KSHOT_{name.upper()}): {first['input']}, expected {expectation(first['msg'])}{link}"
        ) from exc
    settings.must_not_be_open()
    settings.must_have_a_replica()
    return settings


def _service_link(name: str, value: object) -> str:
    """The explanation of a value that is none of the user's: Kubernetes sets variables named after its Services."""
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
