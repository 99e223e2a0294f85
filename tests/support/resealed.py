"""Manifests updated to changed files, as an attacker with write access could."""

from __future__ import annotations

from pathlib import Path

import orjson

from model_store.bundle.manifest import FileEntry, content_version, file_entry, seal_of


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """Change fields, and seal the manifest again."""
    path = folder / "manifest.json"
    content = orjson.loads(path.read_bytes()) | changes
    content.pop("seal", None)
    path.write_bytes(orjson.dumps(content | {"seal": seal_of(content)}))


def reseal(folder: Path, name: str) -> None:
    """Update the entry of the file ``name``, or drop it if the file is gone."""
    files = orjson.loads((folder / "manifest.json").read_bytes())["files"]
    files.pop(name, None)
    if (folder / name).exists():
        files[name] = file_entry(folder / name).model_dump()
    version = content_version({file: FileEntry(**entry) for file, entry in files.items()})
    rewrite_manifest(folder, files=files, version=version)
