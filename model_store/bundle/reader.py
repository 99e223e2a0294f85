"""Opening a bundle: hashes first, then the graphs, then the golden cases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from model_store.bundle.attributes import ATTRIBUTES_FILE, Attributes
from model_store.bundle.candidates import INDEX_FILE
from model_store.bundle.golden import check_golden
from model_store.bundle.items import KEYS_FILE, Catalogue
from model_store.bundle.manifest import (
    MANIFEST_FILE,
    REQUIRED_FILES,
    FileEntry,
    Manifest,
    ManifestCheck,
    check_plain,
    check_schema,
    content_version,
    file_entry,
    read_manifest,
)
from model_store.bundle.sessions import Graphs
from model_store.errors import BundleDamaged

# Files hashed at once: hashing keeps one core busy and needs no lock, and the largest two are half of a bundle each.
HASHERS = 2


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


def verify_files(folder: Path, signed: ManifestCheck | None = None) -> Manifest:
    """Check every file of the bundle against its manifest, before any of them is parsed.

    Files that the manifest does not name are never read. ``signed`` looks at the manifest's signature, where one is
    wanted.

    Raises:
        BundleDamaged: a file is missing, links elsewhere, or has another content than the manifest names; or the
            manifest's version is not that of its files, so that states of users would pass for another bundle's.
        SchemaMismatch: the manifest follows another schema version.
        SignatureRefused: ``signed`` says so.
    """
    manifest = read_manifest(folder, signed)
    check_schema(manifest, folder)
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise BundleDamaged(
            f"{folder}: the manifest names no {missing[0]}, expected all of {', '.join(REQUIRED_FILES)}"
        )
    with ThreadPoolExecutor(HASHERS, "bundle-hash") as pool:
        largest_first = sorted(manifest.files, key=lambda name: -manifest.files[name].size)
        checks = [pool.submit(_verify_file, folder, name, manifest.files[name]) for name in largest_first]
        for check in checks:
            check.result()
    by_content = content_version(manifest.files)
    if manifest.version != by_content:
        raise BundleDamaged(
            f"{folder / MANIFEST_FILE}: version {manifest.version}, expected {by_content} as its files have it"
        )
    return manifest


def _verify_file(folder: Path, name: str, expected: FileEntry) -> None:
    path = folder / name
    if Path(name).name != name:
        raise BundleDamaged(f"{path}: expected a file of the bundle's own folder")
    check_plain(path)
    found = file_entry(path)
    if found != expected:
        raise BundleDamaged(
            f"{path}: sha256 {found.sha256} ({found.size} bytes), expected {expected.sha256} ({expected.size} bytes)"
        )


def open_bundle(folder: Path, *, threads: int = 1, signed: ManifestCheck | None = None) -> Bundle:
    """Verify, load and prove the bundle in ``folder``.

    Args:
        folder: the bundle's folder.
        threads: intra-op threads of each graph.
        signed: what looks at the signature; None trusts whoever can write the folder.

    Raises:
        BundleError: with the file, the value found and the value expected.
    """
    manifest = verify_files(folder, signed)
    _refuse_unnamed(folder, manifest)
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


def _refuse_unnamed(folder: Path, manifest: Manifest) -> None:
    """What is read where it is there must have been verified."""
    for name in (INDEX_FILE, KEYS_FILE):
        if (folder / name).exists() and name not in manifest.files:
            raise BundleDamaged(f"{folder / name}: the manifest does not name it, expected it with its sha256 there")
