"""Bundles swap under load: no request fails, no user is lost, and a rollback restores the same lists."""

from __future__ import annotations

import asyncio
import io
import shutil
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import structlog
from resealed import reseal
from running_service import Running, groups, running, wait_until

from model_store.bundle import Registry
from model_store.bundle.manifest import read_manifest
from model_store.bundle.signature import TrustedKeys, make_keys, sign_manifest
from service.scoring.live import LiveBundle

OFTEN = {"KSHOT_RELOAD_EVERY_S": "0.05"}
EVENTS = [{"item_id": f"g{n % 3}-{n}", "value": 1 + n % 5, "timestamp": 1.7e9 + 3600 * n} for n in range(12)]


def damage(registry: Registry, version: str) -> None:
    path = registry.folder(version) / "score.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def load(service: Running) -> Iterator[list[httpx.Response]]:
    """Request lists and feedback without a pause while the block runs; yields the answers."""
    answers: list[httpx.Response] = []
    done = threading.Event()

    def send_requests() -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=20) as client:
            for number in iter(lambda: len(answers), -1):
                if done.is_set():
                    return
                body = {"user_id": f"load-{number % 20}", "events": [{"item_id": f"g1-{number % 30}", "value": 5}]}
                answers.append(client.post("/feedback", json=body))
                answers.append(client.get("/recommend", params={"user_id": f"load-{number % 20}"}))

    client_thread = threading.Thread(target=send_requests)
    client_thread.start()
    try:
        yield answers
    finally:
        done.set()
        client_thread.join()


def test_bundles_swap_under_load_and_back_and_nothing_is_lost(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    first = registry.live()
    with running(registry.store, tmp_path / "swapping", "--workers", 2, env=OFTEN) as service:

        def workers_on(version: str) -> bool:
            return service.metrics().get(("kshot_bundle_info", (version,))) == 2

        service.give(user, *EVENTS)
        before = service.client.get("/recommend", params={"user_id": user}).content
        wait_until(lambda: workers_on(first))
        with load(service) as answers:
            wait_until(lambda: len(answers) >= 2)  # feedback, and a list
            registry.promote(other)
            wait_until(lambda: workers_on(other))
            swapped = service.recommend(user)
            wait_until(lambda: any(answer.json().get("bundle") == other for answer in answers))
            registry.rollback()
            wait_until(lambda: workers_on(first))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["bundle"] for answer in answers[1::2]} == {first, other}
        assert service.client.get("/recommend", params={"user_id": user}).content == before
        wait_until(lambda: service.metrics()["kshot_bundle_reloads_total", ("ok",)] == 4)

    registry.promote(other)
    with running(registry.store, tmp_path / "fresh") as fresh:
        fresh.give(user, *EVENTS)
        assert swapped == fresh.recommend(user)


def test_a_damaged_bundle_is_refused_once_and_the_old_one_serves_on(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    first = registry.live()
    with running(registry.store, tmp_path, env=OFTEN) as service:
        before = service.recommend(user)
        damage(registry, other)
        registry.promote(other)
        wait_until(lambda: service.has_logged("bundle refused"))
        (refused,) = [line for line in service.logged() if line["event"] == "bundle refused"]
        assert (refused["level"], refused["version"], refused["serving"]) == ("error", other, first)
        assert "score.onnx: sha256" in refused["reason"]
        assert service.recommend(user) == before
        metrics = service.metrics()
        assert metrics["kshot_bundle_reloads_total", ("refused",)] == 1
        assert metrics["kshot_bundle_info", (first,)] == 1


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
    damage(registry, other)
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
    damage(registry, other)
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


def test_a_user_of_the_last_bundle_is_adapted_by_the_new_one_at_the_first_touch(
    two_bundles: tuple[Registry, str], tmp_path: Path, user: str
) -> None:
    registry, other = two_bundles
    with running(registry.store, tmp_path) as service:
        service.like(user, "g3-1")
    registry.promote(other)
    with running(registry.store, tmp_path) as service:
        answer = service.recommend(user, k=5)
        assert (answer["bundle"], answer["source"]) == (other, "adapted")
        assert answer["state"] == {"events": 1, "version": 1}
        assert groups([item["item_id"] for item in answer["items"]]) == {3}
        service.recommend(user)
        assert service.metrics()["kshot_adapt_seconds_count", ()] == 1
        assert service.metrics()["kshot_store_hits_total", ()] == 1
