"""The live bundle: which bundles are refused, and when they are tried again."""

from __future__ import annotations

import asyncio
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import structlog
from damaged_bundles import damage_score
from resealed import reseal

from model_store.bundle import Registry
from model_store.bundle.manifest import read_manifest
from model_store.bundle.signature import TrustedKeys, make_keys, sign_manifest
from service.scoring.live import LiveBundle


@pytest.mark.parametrize("name", ["", "../bundles", "nothing"])
def test_an_invalid_live_version_is_refused(two_bundles: tuple[Registry, str], name: str) -> None:
    registry, _ = two_bundles
    live = LiveBundle(registry.store, threads=1)
    serving = live.model
    (registry.store / "live").write_text(name)
    asyncio.run(live.refresh())
    assert live.model is serving


def test_a_refused_bundle_is_not_loaded_again_and_again(two_bundles: tuple[Registry, str]) -> None:
    registry, other = two_bundles
    live = LiveBundle(registry.store, threads=1)
    damage_score(registry, other)
    registry.promote(other)
    with structlog.testing.capture_logs() as logged:
        asyncio.run(live.refresh())
        asyncio.run(live.refresh())
    assert [line["event"] for line in logged] == ["bundle refused"]


def test_a_missing_live_version_is_logged_once(two_bundles: tuple[Registry, str]) -> None:
    registry, _ = two_bundles
    live = LiveBundle(registry.store, threads=1)
    (registry.store / "live").unlink()
    with structlog.testing.capture_logs() as logged:
        asyncio.run(live.refresh())
        asyncio.run(live.refresh())
    (line,) = logged
    assert "no live bundle" in line["reason"]


def test_a_bundle_under_the_name_of_another_is_refused(two_bundles: tuple[Registry, str]) -> None:
    """Otherwise users' states would be taken for those of the other bundle."""
    registry, other = two_bundles
    live = LiveBundle(registry.store, threads=1)
    registry.folder(other).rename(registry.bundles / "0123456789ab")
    registry.promote("0123456789ab")
    with structlog.testing.capture_logs() as logged:
        asyncio.run(live.refresh())
    assert f"holds version {other}, expected 0123456789ab" in logged[0]["reason"]


def test_a_bundle_that_breaks_a_library_does_not_end_the_watch(two_bundles: tuple[Registry, str]) -> None:
    registry, other = two_bundles
    live = LiveBundle(registry.store, threads=1)
    folder = registry.folder(other)
    with zipfile.ZipFile(folder / "golden.npz", "w") as golden:
        golden.writestr("0/no.onnx/in/x.npy", _array_bytes())
    reseal(folder, "golden.npz")
    sealed = read_manifest(folder).version
    folder.rename(registry.bundles / sealed)
    registry.promote(sealed)
    with structlog.testing.capture_logs() as logged:
        asyncio.run(live.refresh())
    assert logged[0]["reason"] == "KeyError('no.onnx')"


def _array_bytes() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(1, dtype=np.float32))
    return stream.getvalue()


def test_a_refused_bundle_is_accepted_once_it_is_repaired_and_unchanging(two_bundles: tuple[Registry, str]) -> None:
    registry, other = two_bundles
    live = LiveBundle(registry.store, threads=1)
    path = registry.folder(other) / "score.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    registry.promote(other)
    asyncio.run(live.refresh())
    path.write_bytes(whole)
    asyncio.run(live.refresh())  # notices a change, perhaps not the last
    assert live.model.version != other
    asyncio.run(live.refresh())
    assert live.model.version == other


def test_a_refused_bundle_is_tried_again_when_it_is_promoted_again(two_bundles: tuple[Registry, str]) -> None:
    registry, other = two_bundles
    live = LiveBundle(registry.store, threads=1)
    whole = shutil.copytree(registry.folder(other), registry.store / "whole")
    damage_score(registry, other)
    registry.promote(other)
    asyncio.run(live.refresh())
    assert live.model.version != other
    registry.rollback()
    asyncio.run(live.refresh())
    shutil.copytree(whole, registry.folder(other), dirs_exist_ok=True)
    registry.promote(other)
    asyncio.run(live.refresh())
    assert live.model.version == other


def test_an_unsigned_bundle_is_not_swapped_in_where_signatures_are_required(
    two_bundles: tuple[Registry, str], tmp_path: Path
) -> None:
    registry, other = two_bundles
    trusted = TrustedKeys.read(make_keys(tmp_path / "signing"))
    sign_manifest(registry.live_folder() / "manifest.json", tmp_path / "signing")
    live = LiveBundle(registry.store, 1, trusted.check)
    first = live.model.version
    registry.promote(other)
    asyncio.run(live.refresh())
    assert live.model.version == first
    registry.rollback()
    asyncio.run(live.refresh())
    sign_manifest(registry.folder(other) / "manifest.json", tmp_path / "signing")
    registry.promote(other)
    asyncio.run(live.refresh())
    assert live.model.version == other
