"""The live bundle and its replacement: load, verify, warm, then swap; a request holds one snapshot throughout."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from model_store.bundle import ManifestCheck, Registry
from model_store.errors import BundleDamaged, ModelStoreError
from service import telemetry
from service.catalogue.snapshot import Snapshot
from service.core.identity import CatalogueMark
from service.core.ports import Model
from service.errors import OtherCatalogue
from service.scoring.model import BundleModel

log = structlog.get_logger()

# Niceness of the loader thread: on a busy core requests get three times its share.
LOADER_NICENESS = 5

FileStats = list[tuple[str, int, int]]
"""Name, size and modification time of every file of a bundle."""


@dataclass
class _Refused:
    """A refused bundle: the reason, its files when it was refused, and its files at the last look."""

    version: str | None
    reason: str
    files: FileStats
    latest_files: FileStats = field(init=False)

    def __post_init__(self) -> None:
        self.latest_files = self.files


class LiveBundle:
    """Holds the snapshot that new requests get; :meth:`watch` follows the live bundle of the bundles folder."""

    def __init__(self, bundles: Path, threads: int, signed: ManifestCheck | None = None) -> None:
        """Load the live bundle of the folder ``bundles``; ``signed`` checks the signature of every bundle.

        Raises:
            ModelStoreError: no bundle is live, or it is refused; the message names the file and both values.
        """
        self._registry = Registry(bundles)
        self._threads, self._signed = threads, signed
        self._refused: _Refused | None = None
        self._loader = ThreadPoolExecutor(1, "bundle-loader", initializer=_lower_priority)
        self._has_swapped = False
        self.snapshot = Snapshot(self._load(self._registry.live()))
        telemetry.bundle_info.labels(self.model.version).set(1)
        self.note_age()

    @property
    def model(self) -> Model:
        """The model of the live snapshot."""
        return self.snapshot.model

    def note_age(self) -> None:
        """Update the metric of the live bundle's age."""
        telemetry.bundle_age.set(time.time() - self.model.manifest.created_at.timestamp())

    async def watch(self, every_s: float, swapped: Callable[[], Awaitable[None]] | None = None) -> None:
        """Refresh every ``every_s`` seconds, until cancelled; call ``swapped`` after every swap."""
        while True:
            await asyncio.sleep(every_s)
            version = self.model.version
            await self.refresh()
            if swapped is not None and self.model.version != version:
                await swapped()

    async def refresh(self) -> None:
        """Swap to the folder's live bundle if it is another one; a refused one changes nothing."""
        version = None
        try:
            version = await asyncio.to_thread(self._registry.live)
            if version == self.model.version:
                self._refused = None
                await self._free_memory()
            elif self._refused is None or version != self._refused.version or self._has_changed(self._refused):
                loop = asyncio.get_running_loop()
                self._swap(await loop.run_in_executor(self._loader, self._load_next, version))
        except Exception as exc:  # noqa: BLE001 - no fault of a bundle may end the watch
            self._refuse(
                version, str(exc) if isinstance(exc, ModelStoreError | OtherCatalogue | OSError) else repr(exc)
            )

    async def _free_memory(self) -> None:
        """Return the old model's memory to the system, at the first refresh after a swap, when no request uses it.

        Six swaps of a million items left 140 MiB behind without this, and 3 MiB with it.
        """
        if self._has_swapped:
            self._has_swapped = False
            await asyncio.get_running_loop().run_in_executor(self._loader, _trim)

    def _load(self, version: str) -> BundleModel:
        folder = self._registry.folder(version)
        model = BundleModel.load(folder, self._threads, self._signed)
        if model.version != version:
            raise BundleDamaged(f"{folder}: holds version {model.version}, expected {version} as the folder is named")
        return model

    def _load_next(self, version: str) -> BundleModel:
        """The model to swap to; raises OtherCatalogue if users' events would name other items in it."""
        model = self._load(version)
        if not CatalogueMark.of(self.model.version, self.model.catalogue).is_of(model.catalogue):
            raise OtherCatalogue(
                f"bundle {version}: contains almost none of the items of bundle {self.model.version}, which users' "
                "events name; expected a bundle of the same catalogue. Give another catalogue its own --bundles folder "
                "and its own --redis-prefix or --data-dir"
            )
        return model

    def _refuse(self, version: str | None, reason: str) -> None:
        """Keep the live model; log and count the refusal once per version and reason."""
        previous = self._refused
        self._refused = _Refused(version, reason, self._file_stats(version))
        if previous is None or (previous.version, previous.reason) != (version, reason):
            telemetry.bundle_reloads.labels("refused").inc()
            log.error("bundle refused", version=version, serving=self.model.version, reason=reason)

    def _has_changed(self, refused: _Refused) -> bool:
        """True if a refused bundle's files have changed and then stayed the same, as when a copy is complete."""
        before, refused.latest_files = refused.latest_files, self._file_stats(refused.version)
        return refused.latest_files == before != refused.files

    def _file_stats(self, version: str | None) -> FileStats:
        """The files of a bundle; empty for a missing folder."""
        try:
            files = sorted(self._registry.folder(version or "").iterdir())
            return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        except (ModelStoreError, OSError):
            return []

    def _swap(self, model: BundleModel) -> None:
        replaced, self.snapshot, self._refused = self.model, Snapshot(model), None
        self._has_swapped = True
        telemetry.bundle_info.labels(replaced.version).set(0)
        telemetry.bundle_info.labels(model.version).set(1)
        telemetry.bundle_reloads.labels("ok").inc()
        self.note_age()
        log.info("bundle swapped", version=model.version, replaced=replaced.version)


def _lower_priority() -> None:
    """Lower the loader thread's priority (Linux, where niceness belongs to a thread and the threads it starts)."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)


def _trim() -> None:
    """Return freed heap pages to the system (glibc only)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
