"""Opening a bundle: hashes first, then the graphs, then the golden cases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from model_store.bundle.attributes import ATTRIBUTES_FILE, Attributes
from model_store.bundle.catalogue import Catalogue
from model_store.bundle.golden import check_golden
from model_store.bundle.graphs import Graphs
from model_store.bundle.manifest import (
    MANIFEST_FILE,
    REQUIRED_FILES,
    Manifest,
    check_plain,
    check_schema,
    content_version,
    file_entry,
    read_manifest,
)
from model_store.errors import BundleDamaged


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, ready to answer."""

    folder: Path
    manifest: Manifest
    catalogue: Catalogue
    graphs: Graphs
    attributes: Attributes

    @property
    def version(self) -> str:
        """Content-derived version, as in the manifest."""
        return self.manifest.version


def verify_files(folder: Path) -> Manifest:
    """Check every file of the bundle against its manifest, before any of them is parsed.

    Files that the manifest does not name are never read.

    Raises:
        BundleDamaged: a file is missing, links elsewhere, or has another content than the manifest names; or the
            manifest's version is not that of its files, so that states of users would pass for another bundle's.
        SchemaMismatch: the manifest follows another schema version.
    """
    manifest = read_manifest(folder)
    check_schema(manifest, folder)
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise BundleDamaged(
            f"{folder}: the manifest names no {missing[0]}, expected all of {', '.join(REQUIRED_FILES)}"
        )
    for name, expected in manifest.files.items():
        path = folder / name
        if Path(name).name != name:
            raise BundleDamaged(f"{path}: expected a file of the bundle's own folder")
        check_plain(path)
        found = file_entry(path)
        if found != expected:
            raise BundleDamaged(
                f"{path}: sha256 {found.sha256} ({found.size} bytes), "
                f"expected {expected.sha256} ({expected.size} bytes)"
            )
    by_content = content_version(manifest.files)
    if manifest.version != by_content:
        raise BundleDamaged(
            f"{folder / MANIFEST_FILE}: version {manifest.version}, expected {by_content} as its files have it"
        )
    return manifest


def open_bundle(folder: Path, *, threads: int = 1) -> Bundle:
    """Verify, load and prove the bundle in ``folder``.

    Args:
        folder: the bundle's folder.
        threads: intra-op threads of each graph.

    Raises:
        BundleError: with the file, the value found and the value expected.
    """
    manifest = verify_files(folder)
    catalogue = Catalogue(folder)
    named = ATTRIBUTES_FILE in manifest.files
    attributes = Attributes.read(folder / ATTRIBUTES_FILE) if named else Attributes([])
    shapes = manifest.shapes
    found = (
        len(catalogue),
        catalogue.vectors.shape[1],
        catalogue.neighbour_rows.shape[1],
        len(catalogue.features),
        len(attributes),
    )
    expected = (shapes.items, shapes.state_dim, shapes.neighbours, shapes.features, shapes.attributes)
    if found != expected:
        raise BundleDamaged(
            f"{folder}: (items, state_dim, neighbours, features, attributes) are {found}, the manifest says {expected}"
        )
    graphs = Graphs(folder, threads=threads)
    check_golden(folder, graphs)
    return Bundle(folder, manifest, catalogue, graphs, attributes)
