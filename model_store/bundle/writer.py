"""Writing a bundle atomically: a temporary folder, then one rename."""

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
    """A temporary folder beside the published bundles, removed unless it was sealed.

    Raises:
        RegistryError: it cannot be created.
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
    """Write the manifest of a draft's files and rename the draft to its version.

    Equal content has an equal version; an existing bundle of that version stays unchanged.

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
