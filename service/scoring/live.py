"""The live model and its replacement: load, verify, warm, then swap; each request holds one model throughout."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from model_store.bundle import ManifestCheck, Registry
from model_store.errors import ModelStoreError
from service import telemetry
from service.scoring.model import Model

log = structlog.get_logger()

# Of the threads that load a bundle: on a busy core requests get three times their share.
LOADER_NICENESS = 5


class Live:
    """Holds the model that new requests get; ``watch`` follows the store's live bundle."""

    def __init__(self, store: Path, threads: int, signed: ManifestCheck | None = None) -> None:
        """Load the store's live bundle; ``signed`` looks at its signature and at every later one's.

        Raises:
            ModelStoreError: there is none, or it is refused; the message names the file and both values.
        """
        self._registry = Registry(store)
        self._threads, self._signed = threads, signed
        self._refused: str | None = None
        self._loader = ThreadPoolExecutor(1, "bundle-loader", initializer=_give_way)
        self.model = Model.load(self._registry.live_folder(), threads, signed)
        telemetry.bundle_info.labels(self.model.version).set(1)
        self.note_age()

    def note_age(self) -> None:
        """Bring the metric of the live bundle's age up to date."""
        telemetry.bundle_age.set(time.time() - self.model.manifest.created_at.timestamp())

    async def watch(self, every_s: float) -> None:
        """Look at the store every ``every_s`` seconds, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.refresh()

    async def refresh(self) -> None:
        """Swap to the store's live bundle if it is another one; a refused one leaves everything as it is."""
        version = None
        try:
            version = await asyncio.to_thread(self._registry.live)
            if version == self.model.version:
                self._refused = None  # whoever promotes a refused bundle again has mended it
            elif version != self._refused:
                self._swap(await self._load(version))
        except (ModelStoreError, OSError) as exc:
            self._refused = version
            telemetry.bundle_reloads.labels("refused").inc()
            log.error("bundle refused", version=version, serving=self.model.version, reason=str(exc))  # noqa: TRY400 - the reason says it all

    async def _load(self, version: str) -> Model:
        loop, folder = asyncio.get_running_loop(), self._registry.folder(version)
        return await loop.run_in_executor(self._loader, Model.load, folder, self._threads, self._signed)

    def _swap(self, model: Model) -> None:
        replaced, self.model, self._refused = self.model, model, None
        telemetry.bundle_info.labels(replaced.version).set(0)
        telemetry.bundle_info.labels(model.version).set(1)
        telemetry.bundle_reloads.labels("ok").inc()
        self.note_age()
        log.info("bundle swapped", version=model.version, replaced=replaced.version)


def _give_way() -> None:
    """Let requests go first: on Linux each thread, and those that it starts, have a niceness of their own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOADER_NICENESS)
