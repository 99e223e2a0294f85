"""A store of bundles: which there are, which is live, and the way back.

STORE/bundles/VERSION/     one bundle
STORE/live                 the version that services load
STORE/promotions           every version ever made live, oldest first, one a line
STORE/.promoting           locked while one of the two is changed
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.bundle.manifest import Manifest, read_manifest
from model_store.errors import BundleError, RegistryError


class Registry:
    """The bundles below one store folder."""

    def __init__(self, store: Path) -> None:
        """Look at ``store``; nothing is created before something is promoted."""
        self.store = store
        self.bundles = store / "bundles"
        self._live = store / "live"
        self._promotions = store / "promotions"

    def folder(self, version: str) -> Path:
        """Folder of ``version``; raises RegistryError if the store has no such bundle."""
        path = self.bundles / version
        if not version or "/" in version or version.startswith(".") or not path.is_dir():
            known = ", ".join(m.version for m in self.manifests()) or "none"
            raise RegistryError(f"{self.store}: no bundle {version!r}; the store holds {known}")
        return path

    def manifests(self) -> list[Manifest]:
        """Manifests of all readable bundles, oldest first."""
        found = []
        for path in sorted(self.bundles.glob("[!.]*/")):
            try:
                found.append(read_manifest(path))
            except BundleError:
                continue  # a damaged bundle is named by `verify`; it must not hide the others
        return sorted(found, key=lambda manifest: manifest.created_at)

    def live(self) -> str:
        """The live version; raises RegistryError if nothing was promoted yet."""
        try:
            return self._live.read_text(encoding="utf-8").strip()
        except FileNotFoundError as exc:
            raise RegistryError(
                f"{self.store}: no live bundle; train one with: kshot train --store {self.store}"
            ) from exc

    def live_folder(self) -> Path:
        """Folder of the live bundle."""
        return self.folder(self.live())

    def promote(self, version: str) -> None:
        """Make ``version`` live; running services swap to it."""
        self.folder(version)
        with self._promoting():
            history = self._history()
            if not history or history[-1] != version:
                self._write(self._promotions, "".join(f"{line}\n" for line in [*history, version]))
            self._write(self._live, version + "\n")

    def rollback(self) -> str:
        """Make the version before the live one live again and return it.

        Raises:
            RegistryError: there is no earlier version, or it is gone.
        """
        with self._promoting():
            history = self._history()
            if len(history) < 2:  # noqa: PLR2004 - one to leave, one to go back to
                raise RegistryError(f"{self.store}: nothing to roll back to; promotions so far: {history or 'none'}")
            self.folder(history[-2])
            self._write(self._promotions, "".join(f"{line}\n" for line in history[:-1]))
            self._write(self._live, history[-2] + "\n")
            return history[-2]

    @contextmanager
    def _promoting(self) -> Iterator[None]:
        """One change at a time, of all processes: the history and the live version must tell the same story."""
        with (self.store / ".promoting").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _history(self) -> list[str]:
        try:
            return self._promotions.read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return []

    def _write(self, path: Path, text: str) -> None:
        """Replace a file at once: a reader sees the old text or the new one."""
        temporary = path.with_name(f".{path.name}-{os.getpid()}")
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
