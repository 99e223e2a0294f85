"""Writing a bundle so that no reader ever sees half of one: a temporary folder, then one rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_store.bundle.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    DataFingerprint,
    FeedbackSpec,
    Limits,
    Manifest,
    Shapes,
    content_version,
    file_entry,
    sealed,
)
from model_store.bundle.registry import writing


@contextmanager
def draft(bundles: Path) -> Iterator[Path]:
    """A temporary folder beside the bundles of a store, removed unless it was sealed.

    Raises:
        RegistryError: it cannot be made.
    """
    with writing(bundles):
        bundles.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".draft-", dir=bundles))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seal(
    folder: Path,
    *,
    shapes: Shapes,
    limits: Limits,
    feedback: FeedbackSpec,
    data: DataFingerprint,
    training: dict[str, Any],
    results: dict[str, Any],
    signatures: dict[str, dict[str, str]],
) -> Path:
    """Write the manifest over the files of a draft and rename it to its version.

    The same content gives the same version; a bundle that is already there is kept as it is.

    Returns:
        The bundle's folder, named by its version.
    """
    files = {path.name: file_entry(path) for path in sorted(folder.iterdir())}
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        version=content_version(files),
        created_at=datetime.now(UTC),
        shapes=shapes,
        limits=limits,
        feedback=feedback,
        data=data,
        training=training,
        results=results,
        signatures=signatures,
        files=files,
    )
    (folder / MANIFEST_FILE).write_bytes(sealed(manifest))
    for path in folder.iterdir():
        _sync(path)
    _sync(folder)
    target = folder.parent / manifest.version
    if not target.exists():
        folder.chmod(0o755)
        folder.rename(target)
        _sync(folder.parent)
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
