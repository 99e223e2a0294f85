"""Options of the commands, and the settings that they result in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from service.errors import SettingInvalid
from service.settings import BUNDLES, FORMER_BUNDLES, Settings, read_settings


def _not_empty(value: str | None) -> str | None:
    """Refuse a blank value, as from an unset shell variable; as a path it would mean the working directory."""
    if value is not None and not value.strip():
        raise typer.BadParameter("empty, expected a value, or no such flag for the default")
    return value


TEXT: dict[str, Any] = {"callback": _not_empty}
PATH: dict[str, Any] = {"callback": _not_empty, "metavar": "PATH"}

Bundles = Annotated[str | None, typer.Option(**PATH, help="Folder of the bundles.")]
FormerBundles = Annotated[str | None, typer.Option("--store", **PATH, hidden=True, help="Former name of --bundles.")]
Redis = Annotated[str | None, typer.Option(**TEXT, help='Address of the user store, or "embedded" to run one.')]
RedisPrefix = Annotated[str | None, typer.Option(**TEXT, help="Beginning of every key in the user store.")]
DataDir = Annotated[
    str | None,
    typer.Option(**PATH, help="Folder of the embedded store's data; users in the bundles folder if absent."),
]
DurabilityFlag = Annotated[
    str | None,
    typer.Option(
        **TEXT,
        help="When feedback is acknowledged: durable (on disk), replicated (on disk and on a replica, so that it "
        "survives the loss of the store's machine), or fast (at once: a crash of that machine loses acknowledged "
        "feedback that was not on disk).",
    ),
]
Host = Annotated[str | None, typer.Option(**TEXT, help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
RootPath = Annotated[
    str | None, typer.Option(**TEXT, help="Path under which a proxy publishes the service, e.g. /kshot.")
]
KeysFile = Annotated[str | None, typer.Option(**PATH, help="File of the API keys; required to listen beyond loopback.")]
Open = Annotated[bool | None, typer.Option("--open", help="Listen beyond loopback without API keys.")]
RequireSignature = Annotated[
    str | None, typer.Option(**PATH, help="File of public keys; only bundles signed by one of them are served.")
]
Workers = Annotated[int | None, typer.Option(help="Processes that share the port.")]


def settings_of(options: Mapping[str, object], former_bundles: str | None = None) -> Settings:
    """The settings of a run: ``options`` by name, then the environment, then defaults; None is an absent option.

    The options are put into the environment, where the worker processes read their settings.

    Raises:
        SettingInvalid: a setting is invalid, or ``--bundles`` and ``--store`` name different folders.
    """
    variables = {f"KSHOT_{name.upper()}": str(value) for name, value in options.items() if value is not None}
    if former_bundles is not None:
        bundles = variables.setdefault(BUNDLES, former_bundles)
        if bundles != former_bundles:
            raise SettingInvalid(
                f"--bundles {bundles} and --store {former_bundles}: expected one of them; --store is the former name"
            )
    if BUNDLES in variables:
        os.environ.pop(FORMER_BUNDLES, None)
    os.environ |= variables
    return read_settings()
