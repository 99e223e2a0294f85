"""The bundles folder: published bundles, the live version, and the history for rollbacks.

FOLDER/bundles/VERSION/    one bundle
FOLDER/live                the version that services load
FOLDER/promotions          every version ever made live, oldest first, one per line
FOLDER/.promoting          locked while ``live`` and ``promotions`` are changed
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.bundle.manifest import Manifest, read_manifest
from model_store.errors import BundleError, RegistryError


class Registry:
    """The bundles of one bundles folder."""

    def __init__(self, store: Path) -> None:
        """Use the bundles folder ``store``; it is created on the first write."""
        self.store = store
        self.bundles = store / "bundles"
        self._live = store / "live"
        self._promotions = store / "promotions"

    def check_writable(self, *folders: str) -> None:
        """Check by a trial that bundles can be written, before hours of training.

        Args:
            folders: folders beside ``bundles`` that must be writable, too.

        Raises:
            RegistryError: a folder cannot be created, or a file cannot be written to it and renamed.
        """
        for folder in (self.store, self.bundles, *(self.store / name for name in folders)):
            with writing(folder), _existing(folder):
                _try_file(folder)

    def check_space(self, size: int) -> None:
        """Check that ``size`` bytes are free; raises RegistryError if not."""
        with writing(self.store), _existing(self.store):
            free = shutil.disk_usage(self.store).free
        if free < size:
            raise RegistryError(
                f"{self.store}: {free >> 20:,} MiB are free, expected at least {-(-size >> 20):,} MiB for a bundle; "
                "free space, or use another folder"
            )

    def folder(self, version: str) -> Path:
        """Folder of ``version``; raises RegistryError if there is no such bundle."""
        path = self.bundles / version
        if not version or "/" in version or version.startswith(".") or not path.is_dir():
            existing = ", ".join(manifest.version for manifest in self.manifests()) or "none"
            raise RegistryError(f"{self.store}: no bundle {version!r}; existing bundles: {existing}")
        return path

    def manifests(self) -> list[Manifest]:
        """Manifests of all readable bundles, oldest first."""
        manifests = []
        for path in sorted(self.bundles.glob("[!.]*/")):
            try:
                manifests.append(read_manifest(path))
            except BundleError:
                continue  # `kshot bundles verify` names a damaged bundle; the other bundles stay visible
        return sorted(manifests, key=lambda manifest: manifest.created_at)

    def live(self) -> str:
        """The live version; raises RegistryError if nothing was promoted yet, or the folder cannot be read."""
        try:
            return _read(self._live).strip()
        except FileNotFoundError as exc:
            raise RegistryError(
                f"{self.store}: no live bundle; train one with: kshot train --bundles {self.store}"
            ) from exc

    def live_folder(self) -> Path:
        """Folder of the live bundle."""
        return self.folder(self.live())

    def promote(self, version: str) -> None:
        """Make ``version`` live; running services swap to it.

        Raises:
            RegistryError: there is no such bundle, or the folder cannot be written.
        """
        self.folder(version)
        with self._promoting():
            history = self._history()
            if not history or history[-1] != version:
                replace_file(self._promotions, "".join(f"{line}\n" for line in [*history, version]).encode())
            replace_file(self._live, f"{version}\n".encode())

    def rollback(self) -> str:
        """Make the version before the live one live again and return it.

        Raises:
            RegistryError: there is no earlier version, it was deleted, or the folder cannot be written.
        """
        with self._promoting():
            history = self._history()
            if len(history) < 2:  # noqa: PLR2004 - the live version and the one before
                raise RegistryError(f"{self.store}: nothing to roll back to; promotions so far: {history or 'none'}")
            self.folder(history[-2])
            replace_file(self._promotions, "".join(f"{line}\n" for line in history[:-1]).encode())
            replace_file(self._live, f"{history[-2]}\n".encode())
            return history[-2]

    @contextmanager
    def _promoting(self) -> Iterator[None]:
        """Exclusive lock across processes, so that the history and the live version agree."""
        path = self.store / ".promoting"
        with writing(path):
            lock = path.open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _history(self) -> list[str]:
        try:
            return _read(self._promotions).split()
        except FileNotFoundError:
            return []


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn file system errors into a RegistryError with ``path``, the reason and a remedy.

    Raises:
        RegistryError: instead of OSError.
    """
    try:
        yield
    except OSError as exc:
        raise RegistryError(
            f"{path}: cannot be written ({exc.strerror or exc}); expected a folder with free space that this user may "
            "write to; correct that, or use another folder"
        ) from exc


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file atomically: a reader sees the old content or the new one.

    Raises:
        RegistryError: the file cannot be written; the old content stays.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    with writing(path):
        try:
            with temporary.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _read(path: Path) -> str:
    """Text of ``path``; raises FileNotFoundError if it is missing, RegistryError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise RegistryError(
            f"{path}: cannot be read ({exc.strerror}); expected a file in a bundles folder; check --bundles and its "
            "permissions"
        ) from exc


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
    """Create ``folder`` and its parents; at the end, remove the created folders that are still empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in missing:
            if not any(path.iterdir()):
                path.rmdir()


def _try_file(folder: Path) -> None:
    """Write, sync and rename a file, as publishing does."""
    with tempfile.NamedTemporaryFile(prefix=".try-", dir=folder, delete=False) as stream:
        path = Path(stream.name)
        try:
            stream.write(bytes(4096))
            stream.flush()
            os.fsync(stream.fileno())
            path = path.rename(path.with_suffix(".renamed"))
        finally:
            path.unlink(missing_ok=True)
