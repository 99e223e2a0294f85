"""Settings of one service process: from the environment (``KSHOT_…``), frozen, read once by ``main``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import SettingInvalid, expectation
from service.stores.durability import Durability

EMBEDDED = "embedded"


class Settings(BaseSettings):
    """Every field is an environment variable: ``store`` is ``KSHOT_STORE``."""

    model_config = SettingsConfigDict(env_prefix="KSHOT_", frozen=True, extra="forbid")

    store: Path = Field(Path("store"), description="folder of the bundles; the live one is served")
    redis: str = Field(
        EMBEDDED,
        description='redis://, rediss:// or unix:// address of the user store, or "embedded" to run one',
    )
    redis_password_file: Path | None = Field(
        None,
        description="file with the store's password, so that it stands in no address and no process list",
    )
    data_dir: Path | None = Field(None, description="folder of the embedded store's data; STORE/users if absent")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=256, description="processes that share the port")
    store_timeout_ms: int = Field(
        200,
        ge=1,
        le=60_000,
        description="longest wait for the user store; then GET degrades and POST refuses",
    )
    durability: Durability = Field(
        "durable",
        description="when feedback is acknowledged: once the store has it on disk (durable), with a store that syncs "
        "before every answer (always), or at once, and what came in the last second may be lost (fast)",
    )
    disk_timeout_ms: int = Field(
        500,
        ge=1,
        le=60_000,
        description="longest wait, beyond the store's answer, for feedback to be on disk; then POST refuses",
    )
    feedback_deadline_ms: int = Field(
        1000,
        ge=1,
        le=60_000,
        description="longest time for POST /feedback to win against other writers to one user",
    )
    user_ttl_days: float = Field(
        365.0,
        gt=0,
        description="days after the last contact, feedback or a list, when a user is forgotten; yearly habits fit",
    )
    served_ttl_s: int = Field(3600, ge=1, description="seconds a served list is kept to measure the hit rate")
    threads: int = Field(
        1, ge=1, le=64, description="intra-op threads of each graph; workers scale better than threads"
    )
    reload_every_s: float = Field(1.0, gt=0, description="seconds between looks at which bundle is live")
    shutdown_s: int = Field(10, ge=0, description="seconds that running requests get to finish at shutdown")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least severe event to log")
    access_log: bool = Field(default=False, description="log every request")

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
        return Settings()
    except ValidationError as exc:
        first = exc.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingInvalid(
            f"{name} (KSHOT_{name.upper()}): {first['input']}, expected {expectation(first['msg'])}"
        ) from exc
