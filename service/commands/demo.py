"""``kshot demo``."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import typer

from model_store.bundle import Catalogue, Registry
from model_store.errors import ModelStoreError
from service.commands.kshot import report_errors
from service.commands.options import DataDir, Port, settings_of

SOURCE = "demo:movies"
BUNDLES = Path(".kshot/store")


@report_errors
def demo(port: Port = None, data_dir: DataDir = None) -> None:
    """Train on the demo data if there is no bundle yet, serve it, and print commands to try."""
    settings = settings_of({"bundles": BUNDLES, "port": port, "data_dir": data_dir})
    registry = Registry(settings.model.bundles)
    try:
        registry.live()
    except ModelStoreError:
        _train(settings.model.bundles)
    from service.main import run  # imports the metrics, which the settings' workers and folder decide about

    run(settings, announce=lambda address: typer.echo(_things_to_try(address, registry)))


def _train(bundles: Path) -> None:
    """Train in a process of its own, so that torch's memory is freed at its end."""
    command = [sys.argv[0], "train", "--data", SOURCE, "--bundles", str(bundles), "--no-cross-fit"]
    if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:  # noqa: S603 - our own command
        raise typer.Exit(1)


def _things_to_try(address: str, registry: Registry) -> str:
    """Three commands to paste: get a list, send feedback, get the next list."""
    catalogue = Catalogue(registry.live_folder())
    body = shlex.quote(f'{{"user_id":"ann","events":[{{"item_id":"{catalogue.ids[0]}","value":5}}]}}')
    recommend = f"curl -s '{address}/recommend?user_id=ann&k=5'"
    feedback = f"curl -s {address}/feedback -H 'content-type: application/json' -d {body}"
    return (
        f"\nkshot serves on {address} (docs: {address}/docs). Try:\n\n  {recommend}\n  {feedback}\n  {recommend}\n\n"
        "Ctrl-C stops it."
    )
