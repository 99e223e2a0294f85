"""``kshot keys``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from service.access.keyring import Scope, add_key, read_keyring, revoke_key
from service.commands.kshot import report_errors
from service.commands.options import PATH

keys = typer.Typer(
    no_args_is_help=True, help="Make, list and revoke API keys; running services follow within a second."
)

KeysFile = Annotated[str, typer.Option(**PATH, envvar="KSHOT_KEYS_FILE", help="File of the API keys.")]
Scopes = Annotated[list[Scope], typer.Option("--scope", help="What the key permits; repeat for several.")]
KeyName = Annotated[str, typer.Option(help="Name of the key's owner, for people.", max=100)]
KeyId = Annotated[str, typer.Argument(help="Id of the key.")]


@keys.command()
@report_errors
def new(scope: Scopes, keys_file: KeysFile, name: KeyName = "") -> None:
    """Make a key and print it, this once; the file gets its hash."""
    text = add_key(Path(keys_file), scope, name, datetime.now(UTC).replace(microsecond=0))
    typer.echo("shown once, keep it:", err=True)
    typer.echo(text)


@keys.command("list")
@report_errors
def list_keys(keys_file: KeysFile) -> None:
    """All keys, oldest first: id, time, scopes, name."""
    for key in read_keyring(Path(keys_file)).keys:
        typer.echo(f"{key.id}  {key.created_at:%Y-%m-%d %H:%M}  {','.join(key.scopes)}  {key.name}".rstrip())


@keys.command()
@report_errors
def revoke(key_id: KeyId, keys_file: KeysFile) -> None:
    """Delete a key; requests with it are refused within a second."""
    revoke_key(Path(keys_file), key_id)
    typer.echo(key_id)
