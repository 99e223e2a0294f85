"""A store of bundles: which there are, which is live, and the way back.

STORE/bundles/VERSION/     one bundle
STORE/live                 the version that services load
STORE/promotions           every version ever made live, oldest first, one a line
STORE/.promoting           locked while one of the two is changed
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
    """The bundles below one store folder."""

    def __init__(self, store: Path) -> None:
        """Look at ``store``; nothing is created before something is promoted."""
        self.store = store
        self.bundles = store / "bundles"
        self._live = store / "live"
        self._promotions = store / "promotions"

    def check_writable(self, *folders: str) -> None:
        """Make sure that bundles can be written, by writing: whoever trains for hours must not find out afterwards.

        Args:
            folders: folders of the store beside ``bundles`` that must be writable, too.

        Raises:
            RegistryError: a folder cannot be made, or a file cannot be written to it and renamed.
        """
        for folder in (self.store, self.bundles, *(self.store / name for name in folders)):
            with writing(folder), _existing(folder):
                _try_file(folder)

    def check_space(self, size: int) -> None:
        """Make sure that the store has room for ``size`` bytes; raises RegistryError if not."""
        with writing(self.store), _existing(self.store):
            free = shutil.disk_usage(self.store).free
        if free < size:
            raise RegistryError(
                f"{self.store}: {free >> 20:,} MiB are free, expected at least {-(-size >> 20):,} MiB for a bundle; "
                "free space, or use another folder"
            )

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
        """The live version; raises RegistryError if nothing was promoted yet, or the store cannot be read."""
        try:
            return _read(self._live).strip()
        except FileNotFoundError as exc:
            raise RegistryError(
                f"{self.store}: no live bundle; train one with: kshot train --store {self.store}"
            ) from exc

    def live_folder(self) -> Path:
        """Folder of the live bundle."""
        return self.folder(self.live())

    def promote(self, version: str) -> None:
        """Make ``version`` live; running services swap to it.

        Raises:
            RegistryError: the store has no such bundle, or cannot be written.
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
            RegistryError: there is no earlier version, it is gone, or the store cannot be written.
        """
        with self._promoting():
            history = self._history()
            if len(history) < 2:  # noqa: PLR2004 - one to leave, one to go back to
                raise RegistryError(f"{self.store}: nothing to roll back to; promotions so far: {history or 'none'}")
            self.folder(history[-2])
            replace_file(self._promotions, "".join(f"{line}\n" for line in history[:-1]).encode())
            replace_file(self._live, f"{history[-2]}\n".encode())
            return history[-2]

    @contextmanager
    def _promoting(self) -> Iterator[None]:
        """One change at a time, of all processes: the history and the live version must tell the same story."""
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
    """Turn an error of the file system into one that names ``path``, the reason and the way out.

    Raises:
        RegistryError: instead of OSError.
    """
    try:
        yield
    except OSError as exc:
        raise RegistryError(
            f"{path}: cannot be written ({exc.strerror or exc}); expected a folder with free space that this user may "
            "write to: mend that, or use another folder"
        ) from exc


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old content or the new one.

    Raises:
        RegistryError: it cannot be written; the old content stays.
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
    """Text of ``path``; FileNotFoundError where there is none, RegistryError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise RegistryError(
            f"{path}: cannot be read ({exc.strerror}); expected a file in the folder of a store: check --store and its "
            "permissions"
        ) from exc


@contextmanager
def _existing(folder: Path) -> Iterator[None]:
    """``folder`` with all above it, of which those are removed again that had to be made and stay empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in missing:
            if not any(path.iterdir()):
                path.rmdir()


def _try_file(folder: Path) -> None:
    """Write a file, bring it to the disk and rename it, as publishing does."""
    with tempfile.NamedTemporaryFile(prefix=".try-", dir=folder, delete=False) as stream:
        path = Path(stream.name)
        try:
            stream.write(bytes(4096))
            stream.flush()
            os.fsync(stream.fileno())
            path = path.rename(path.with_suffix(".renamed"))
        finally:
            path.unlink(missing_ok=True)
