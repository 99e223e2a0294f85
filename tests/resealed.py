"""A manifest made to agree with changed files, as somebody with write access could."""

from __future__ import annotations

import json
from pathlib import Path

from model_store.bundle.manifest import file_entry


def rewrite_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def reseal(folder: Path, name: str) -> None:
    """Take up what ``name`` is now; a file that is gone leaves the manifest too."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    files.pop(name, None)
    if (folder / name).exists():
        files[name] = file_entry(folder / name).model_dump()
    rewrite_manifest(folder, files=files)
