"""Bundles folders for load tests: given, kept from an earlier run, or made."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from loadtests.kit.cli import progress
from model_store.bundle import Bundle, Registry, open_bundle
from model_store.bundle.manifest import read_manifest
from model_store.bundle.writer import draft, seal
from model_store.errors import RegistryError


def bundles_folder(options: argparse.Namespace, scratch: Path) -> Path:
    """The folder of ``--bundles``, or one with a live synthetic bundle of ``--items`` items below ``scratch``."""
    return options.bundles or synthetic_folder(scratch, options.items)


def synthetic_folder(parent: Path, n_items: int) -> Path:
    """A bundles folder below ``parent`` with a live synthetic bundle; an existing one is used again."""
    folder = parent / f"items-{n_items}"
    try:
        Registry(folder).live_folder()
    except RegistryError:
        from loadtests.worlds.bundles import synthetic_bundle  # needs torch

        progress(f"making a bundle of {n_items:,} items")
        synthetic_bundle(folder, n_items, seed=0)
    return folder


def live_bundle(folder: Path) -> Bundle:
    """Open the live bundle of a bundles folder."""
    return open_bundle(Registry(folder).live_folder())


def second_version(folder: Path) -> str:
    """Add a copy of the live bundle whose report, and so whose version, differs; returns that version.

    The copy is not promoted.
    """
    registry = Registry(folder)
    live = registry.live_folder()
    manifest = read_manifest(live)
    with draft(registry.bundles) as copy:
        for name in manifest.files:
            shutil.copy(live / name, copy / name)
        (copy / "report.json").write_text(f'{{"copy_of": "{manifest.version}"}}', encoding="utf-8")
        sealed = seal(
            copy,
            shapes=manifest.shapes,
            limits=manifest.limits,
            feedback=manifest.feedback,
            data=manifest.data,
            training=manifest.training,
            results=manifest.results,
            signatures=manifest.signatures,
        )
    return sealed.name


def write_item_ids(path: Path, bundle: Bundle) -> Path:
    """Write the catalogue's ids as the wrk scripts read them: JSON strings, one per line."""
    path.write_text("".join(f"{json.dumps(item_id)}\n" for item_id in bundle.catalogue.ids[:]), encoding="utf-8")
    return path
