"""The live model and its replacement: load, verify, warm, then swap; each request holds one model throughout."""

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
from service.core.identity import CatalogueMark
from service.errors import OtherCatalogue
from service.scoring.model import Model

log = structlog.get_logger()

# Of the threads that load a bundle: on a busy core requests get three times their share.
LOADER_NICENESS = 5


Looks = list[tuple[str, int, int]]


@dataclass
class _Refused:
    """A bundle that was not taken: why, how it looked then, and how it looked last."""

    version: str | None
    reason: str
    looked: Looks
    last_seen: Looks = field(init=False)

    def __post_init__(self) -> None:
        self.last_seen = self.looked


class Live:
    """Holds the model that new requests get; ``watch`` follows the store's live bundle."""

    def __init__(self, store: Path, threads: int, signed: ManifestCheck | None = None) -> None:
        """Load the store's live bundle; ``signed`` looks at its signature and at every later one's.

        Raises:
            ModelStoreError: there is none, or it is refused; the message names the file and both values.
        """
        self._registry = Registry(store)
        self._threads, self._signed = threads, signed
        self._refused: _Refused | None = None
        self._loader = ThreadPoolExecutor(1, "bundle-loader", initializer=_give_way)
        self._has_swapped = False
        self.model = self._load(self._registry.live())
        telemetry.bundle_info.labels(self.model.version).set(1)
        self.note_age()

    def note_age(self) -> None:
        """Bring the metric of the live bundle's age up to date."""
        telemetry.bundle_age.set(time.time() - self.model.manifest.created_at.timestamp())

    async def watch(self, every_s: float, swapped: Callable[[], Awaitable[None]] | None = None) -> None:
        """Look at the store every ``every_s`` seconds, until cancelled; call ``swapped`` after each swap."""
        while True:
            await asyncio.sleep(every_s)
            version = self.model.version
            await self.refresh()
            if swapped is not None and self.model.version != version:
                await swapped()

    async def refresh(self) -> None:
        """Swap to the store's live bundle if it is another one; a refused one leaves everything as it is."""
        version = None
        try:
            version = await asyncio.to_thread(self._registry.live)
            if version == self.model.version:
                self._refused = None
                await self._give_back()
            elif self._refused is None or version != self._refused.version or self._is_mended(self._refused):
                loop = asyncio.get_running_loop()
                self._swap(await loop.run_in_executor(self._loader, self._load_next, version))
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with a bundle, the next one must find us looking
            self._refuse(
                version, str(exc) if isinstance(exc, ModelStoreError | OtherCatalogue | OSError) else repr(exc)
            )

    async def _give_back(self) -> None:
        """A look after a swap, when no request holds the old model any more: return to the system what was freed.

        Without this six swaps of a million items left 140 MiB behind, with it 3.
        """
        if self._has_swapped:
            self._has_swapped = False
            await asyncio.get_running_loop().run_in_executor(self._loader, _trim)

    def _load(self, version: str) -> Model:
        folder = self._registry.folder(version)
        model = Model.load(folder, self._threads, self._signed)
        if model.version != version:
            raise BundleDamaged(f"{folder}: holds version {model.version}, expected {version} as the folder is named")
        return model

    def _load_next(self, version: str) -> Model:
        """The bundle to swap to; raises OtherCatalogue where users' events would mean something else."""
        model = self._load(version)
        if not CatalogueMark.of(self.model.version, self.model.catalogue).is_of(model.catalogue):
            raise OtherCatalogue(
                f"bundle {version}: nearly none of the items of bundle {self.model.version}, which users' events name, "
                "is in it; expected a bundle of the same catalogue. Serve another catalogue from a --store of its own, "
                "with a --redis-prefix or --data-dir of its own"
            )
        return model

    def _refuse(self, version: str | None, reason: str) -> None:
        """Stay with the model there is, and say so, once for each reason."""
        known = self._refused
        self._refused = _Refused(version, reason, self._looks(version))
        if known is None or (known.version, known.reason) != (version, reason):
            telemetry.bundle_reloads.labels("refused").inc()
            log.error("bundle refused", version=version, serving=self.model.version, reason=reason)

    def _is_mended(self, refused: _Refused) -> bool:
        """Whether a refused bundle has changed since and come to rest, as when its copying ends."""
        before, refused.last_seen = refused.last_seen, self._looks(refused.version)
        return refused.last_seen == before != refused.looked

    def _looks(self, version: str | None) -> Looks:
        """Name, size and time of every file of a bundle; nothing where there is none."""
        try:
            files = sorted(self._registry.folder(version or "").iterdir())
            return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        except (ModelStoreError, OSError):
            return []

    def _swap(self, model: Model) -> None:
        replaced, self.model, self._refused = self.model, model, None
        self._has_swapped = True
        telemetry.bundle_info.labels(replaced.version).set(0)
        telemetry.bundle_info.labels(model.version).set(1)
        telemetry.bundle_reloads.labels("ok").inc()
        self.note_age()
        log.info("bundle swapped", version=model.version, replaced=replaced.version)


def _give_way() -> None:
    """Let requests go first: on Linux each thread, and those that it starts, have a niceness of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)


def _trim() -> None:
    """Where the C library is glibc: its heaps keep what is freed between blocks that are in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
