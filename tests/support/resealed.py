"""A manifest made to agree with changed files, as somebody with write access could."""

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
    """Take up what ``name`` is now; a file that is gone leaves the manifest too."""
    files = orjson.loads((folder / "manifest.json").read_bytes())["files"]
    files.pop(name, None)
    if (folder / name).exists():
        files[name] = file_entry(folder / name).model_dump()
    version = content_version({each: FileEntry(**entry) for each, entry in files.items()})
    rewrite_manifest(folder, files=files, version=version)
