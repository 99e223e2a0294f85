"""``kshot bundles``: list, show, promote, roll back, sign and verify bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model_store.bundle import Registry, open_bundle
from model_store.bundle.manifest import MANIFEST_FILE, read_manifest
from model_store.commands.options import DEFAULT_BUNDLES, Bundles
from model_store.commands.outcome import command

bundles = typer.Typer(
    no_args_is_help=True, help="List, show, promote, roll back, sign and verify the bundles of a folder."
)

Version = Annotated[str | None, typer.Argument(help="Version of a bundle; the live one if absent.")]


@bundles.command("list")
@command
def list_bundles(bundles: Bundles = DEFAULT_BUNDLES) -> None:
    """List all bundles, oldest first; a star marks the live one."""
    registry = Registry(bundles)
    live = registry.live()
    for manifest in registry.manifests():
        star = "*" if manifest.version == live else " "
        created = manifest.created_at.strftime("%Y-%m-%d %H:%M")
        typer.echo(f"{star} {manifest.version}  {created}  {manifest.shapes.items:>8} items  {manifest.data.source}")


@bundles.command()
@command
def show(version: Version = None, bundles: Bundles = DEFAULT_BUNDLES) -> None:
    """Print the manifest of a bundle as JSON."""
    registry = Registry(bundles)
    folder = registry.folder(version or registry.live())
    read_manifest(folder)
    typer.echo((folder / MANIFEST_FILE).read_text(encoding="utf-8"), nl=False)


@bundles.command()
@command
def promote(
    version: Annotated[str, typer.Argument(help="Version to make live.")], bundles: Bundles = DEFAULT_BUNDLES
) -> None:
    """Verify a bundle and make it live; running services swap to it."""
    registry = Registry(bundles)
    open_bundle(registry.folder(version))
    registry.promote(version)
    typer.echo(version)


@bundles.command()
@command
def rollback(bundles: Bundles = DEFAULT_BUNDLES) -> None:
    """Make the version before the live one live again."""
    typer.echo(Registry(bundles).rollback())


@bundles.command()
@command
def verify(
    version: Version = None,
    bundles: Bundles = DEFAULT_BUNDLES,
    key: Annotated[Path | None, typer.Option(help="File of public keys; one must have signed the bundle.")] = None,
) -> None:
    """Check a bundle's hashes and golden cases, and its signature if KEY is set."""
    from model_store.bundle.signature import TrustedKeys

    registry = Registry(bundles)
    signed = None if key is None else TrustedKeys.read(key).check
    bundle = open_bundle(registry.folder(version or registry.live()), signed=signed)
    files = f"{len(bundle.manifest.files)} files"
    checked = files if key is None else f"signature, {files}"
    typer.echo(f"{bundle.version}: {checked} and all golden cases are as they should be")


@bundles.command()
@command
def sign(
    key: Annotated[Path, typer.Option(help="File of the private key; kshot bundles keygen makes one.")],
    version: Version = None,
    bundles: Bundles = DEFAULT_BUNDLES,
) -> None:
    """Verify a bundle and sign its manifest, so that services with --require-signature accept it."""
    from model_store.bundle.signature import sign_manifest

    registry = Registry(bundles)
    folder = registry.folder(version or registry.live())
    open_bundle(folder)
    typer.echo(sign_manifest(folder / MANIFEST_FILE, key))


@bundles.command()
@command
def keygen(
    key: Annotated[Path, typer.Argument(help="New file of the private key; KEY.pub gets the public one.")],
) -> None:
    """Make a key pair to sign bundles with; keep the private key off machines that serve."""
    from model_store.bundle.signature import make_keys

    typer.echo(make_keys(key))
