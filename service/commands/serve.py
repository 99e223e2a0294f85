"""``kshot serve``."""

from __future__ import annotations

import typer

from service.commands.kshot import report_errors
from service.commands.options import (
    Bundles,
    DataDir,
    DurabilityFlag,
    FormerBundles,
    Host,
    KeysFile,
    Open,
    Port,
    Redis,
    RedisPrefix,
    RequireSignature,
    RootPath,
    Workers,
    settings_of,
)
from service.errors import SettingInvalid


@report_errors
def serve(
    bundles: Bundles = None,
    store: FormerBundles = None,
    redis: Redis = None,
    redis_prefix: RedisPrefix = None,
    data_dir: DataDir = None,
    durability: DurabilityFlag = None,
    host: Host = None,
    port: Port = None,
    root_path: RootPath = None,
    workers: Workers = None,
    keys_file: KeysFile = None,
    open_to_all: Open = None,
    require_signature: RequireSignature = None,
) -> None:
    """Serve the live bundle. Options take precedence over KSHOT_… variables, and these over defaults."""
    _refuse_credentials(redis)
    options = {
        "bundles": bundles,
        "redis": redis,
        "redis_prefix": redis_prefix,
        "data_dir": data_dir,
        "durability": durability,
        "host": host,
        "port": port,
        "root_path": root_path,
        "workers": workers,
        "keys_file": keys_file,
        "open": open_to_all,
        "require_signature": require_signature,
    }
    settings = settings_of(options, former_bundles=store)
    from service.main import run  # imports the metrics, which the settings' workers and folder decide about

    run(settings, announce=lambda address: typer.echo(f"serving on {address}"))


def _refuse_credentials(redis: str | None) -> None:
    """Reject an address with credentials: command lines are visible to other users of the machine."""
    if redis is not None and ("@" in redis or "password=" in redis):
        raise SettingInvalid(
            "--redis: an address with a password or user, expected one without; "
            "set KSHOT_REDIS, or KSHOT_REDIS_PASSWORD_FILE beside it"
        )
