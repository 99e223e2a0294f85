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
from model_store.bundle.runtime import Runtime
from model_store.bundle.sessions import Graphs
from model_store.errors import BundleDamaged

# Threads that hash files. Hashing releases the lock, and the two largest files are about half of a bundle each.
HASHERS = 2


@dataclass(frozen=True)
class Bundle:
    """A verified bundle, ready to serve."""

    folder: Path
    manifest: Manifest
    runtime: Runtime
    attributes: Attributes

    @property
    def catalogue(self) -> Catalogue:
        """Items of the bundle."""
        return self.runtime.catalogue

    @property
    def graphs(self) -> Graphs:
        """Sessions of the bundle."""
        return self.runtime.graphs

    @property
    def version(self) -> str:
        """Content-derived version, as in the manifest."""
        return self.manifest.version


def verify_files(folder: Path, signed: ManifestCheck | None = None) -> Manifest:
    """Check every file of the bundle against its manifest, before any of them is parsed.

    Files that are not in the manifest are never read. ``signed`` checks the manifest's signature; None skips that.

    Raises:
        BundleDamaged: a file is missing, is a link, or differs from its hash in the manifest. Or the manifest's version
            differs from that of its files; then stored user states could be taken for those of another bundle.
        SchemaMismatch: the manifest has another schema version.
        SignatureRefused: ``signed`` refuses it.
    """
    manifest = read_manifest(folder, signed)
    check_schema(manifest, folder)
    missing = [name for name in REQUIRED_FILES if name not in manifest.files]
    if missing:
        raise BundleDamaged(
            f"{folder}: {missing[0]} is not in the manifest, expected all of {', '.join(REQUIRED_FILES)}"
        )
    with ThreadPoolExecutor(HASHERS, "bundle-hash") as pool:
        largest_first = sorted(manifest.files, key=lambda name: -manifest.files[name].size)
        checks = [pool.submit(_verify_file, folder, name, manifest.files[name]) for name in largest_first]
        for check in checks:
            check.result()
    by_content = content_version(manifest.files)
    if manifest.version != by_content:
        raise BundleDamaged(
            f"{folder / MANIFEST_FILE}: version {manifest.version}, expected {by_content}, the version of its files"
        )
    return manifest


def _verify_file(folder: Path, name: str, expected: FileEntry) -> None:
    path = folder / name
    if Path(name).name != name:
        raise BundleDamaged(f"{path}: expected a file directly in the folder of the bundle")
    check_plain(path)
    actual = file_entry(path)
    if actual != expected:
        raise BundleDamaged(
            f"{path}: sha256 {actual.sha256} ({actual.size} bytes), expected {expected.sha256} ({expected.size} bytes)"
        )


def open_bundle(folder: Path, *, threads: int = 1, signed: ManifestCheck | None = None) -> Bundle:
    """Verify and load the bundle in ``folder``, and check its golden cases.

    Args:
        folder: the bundle's folder.
        threads: intra-op threads of each graph.
        signed: check of the signature; None trusts everyone who can write to the folder.

    Raises:
        BundleError: names the file, its value and the expected value.
    """
    manifest = verify_files(folder, signed)
    _refuse_unnamed(folder, manifest)
    catalogue = Catalogue(folder)
    named = ATTRIBUTES_FILE in manifest.files
    attributes = Attributes.read(folder / ATTRIBUTES_FILE) if named else Attributes([])
    shapes = manifest.shapes
    actual = (
        len(catalogue),
        catalogue.vectors.shape[1],
        catalogue.neighbour_rows.shape[1],
        len(catalogue.features),
        len(attributes),
    )
    expected = (shapes.items, shapes.state_dim, shapes.neighbours, shapes.features, shapes.attributes)
    if actual != expected:
        raise BundleDamaged(
            f"{folder}: (items, state_dim, neighbours, features, attributes) are {actual}, expected {expected} as in "
            "the manifest"
        )
    graphs = Graphs(folder, threads=threads)
    check_golden(folder, graphs)
    return Bundle(folder, manifest, Runtime(graphs, catalogue), attributes)


def _refuse_unnamed(folder: Path, manifest: Manifest) -> None:
    """Refuse optional files that exist but are not in the manifest, because they were not verified."""
    for name in (INDEX_FILE, KEYS_FILE):
        if (folder / name).exists() and name not in manifest.files:
            raise BundleDamaged(f"{folder / name}: not in the manifest, expected it there with its sha256")
