"""Bundles folders for load tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from loadtests.worlds.bundle_folders import second_version
from model_store.bundle import Registry, open_bundle


def test_a_second_version_is_a_complete_bundle(trained_store: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained_store, tmp_path / "bundles"))
    registry = Registry(folder)
    version = second_version(folder)
    assert version != registry.live()
    assert open_bundle(registry.folder(version)).version == version
