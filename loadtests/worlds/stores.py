"""Bundle stores for the large measurements, kept between runs where a folder for them is named."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from loadtests.worlds.bundles import synthetic_bundle
from model_store.bundle import Registry
from model_store.bundle.manifest import read_manifest
from model_store.bundle.writer import draft, seal
from model_store.errors import RegistryError


def synthetic_store(folder: Path, n_items: int) -> Path:
    """A store with a live synthetic bundle below ``folder``; one that is there already is used again."""
    store = folder / f"items-{n_items}"
    try:
        Registry(store).live_folder()
    except RegistryError:
        print(f"making a bundle of {n_items:,} items", file=sys.stderr)
        synthetic_bundle(store, n_items, seed=0)
    return store


def second_version(store: Path) -> str:
    """A copy of the live bundle with a report of its own, hence another version; not promoted. Returns the version."""
    registry = Registry(store)
    live = registry.live_folder()
    manifest = read_manifest(live)
    with draft(registry.bundles) as folder:
        for name in manifest.files:
            shutil.copy(live / name, folder / name)
        (folder / "report.json").write_text(f'{{"copy_of": "{manifest.version}"}}', encoding="utf-8")
        sealed = seal(
            folder,
            shapes=manifest.shapes,
            limits=manifest.limits,
            feedback=manifest.feedback,
            data=manifest.data,
            training=manifest.training,
            results=manifest.results,
            signatures=manifest.signatures,
        )
    return sealed.name
