"""API-key authentication: one Argon2 check per key, then a keyed BLAKE2b lookup.

The cost of attacks is limited: a key with an unknown id is refused without a check, one check runs at a time and off
the event loop, few checks wait per id, and a wrong secret blocks one of these slots for a while. Keys that were
admitted before are not affected.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from service.access.keyring import Key, Keyring, read_keyring, split_key
from service.errors import KeyChecksBusy, KeyRefused, KeysFileInvalid, SettingInvalid

RELOAD_EVERY_S = 1.0
MAX_CHECKS_PER_ID = 2
PENALTY_S = 0.5
MAX_WRONG = 4096

FileState = tuple[int, int, int] | None
"""Inode, time and size of the keys file; None if it is absent."""
Check = Callable[[Key, bytes], bool]

log = structlog.get_logger()


class Gate:
    """Admits the keys of a file, which it reads again after a change; an absent or damaged file changes nothing."""

    def __init__(
        self, path: Path, *, check: Check = Key.is_opened_by, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the keys; ``check`` is the slow check, ``clock`` counts seconds.

        Raises:
            KeysFileInvalid: ``path`` cannot be read, or has another format.
            SettingInvalid: it holds no key, so that every request would be refused.
        """
        self._path, self._is_opened_by, self._clock = path, check, clock
        self._process_secret = secrets.token_bytes(32)
        self._file_state, self._reload_at = self._stat(), clock() + RELOAD_EVERY_S
        self._keys = _by_id(read_keyring(path))
        if not self._keys:
            raise SettingInvalid(f"keys_file: {path} holds no key, expected at least one; make it with: kshot keys new")
        self._admitted: dict[bytes, Key] = {}
        self._wrong: dict[bytes, None] = {}
        self._checks: dict[bytes, asyncio.Task[Key | None]] = {}
        self._slots: Counter[str] = Counter()
        self._one_at_a_time = asyncio.Semaphore(1)

    async def admit(self, text: bytes) -> Key:
        """The key with the text ``text``.

        Raises:
            KeyRefused: no key of the file has this text.
            KeyChecksBusy: it cannot be checked now.
        """
        self._reload_if_changed()
        digest = hashlib.blake2b(text, key=self._process_secret).digest()
        admitted = self._admitted.get(digest)
        if admitted is not None:
            return admitted
        checked = await self._checked(text, digest)
        if checked is None:
            raise KeyRefused("API key: unknown or revoked, expected a valid one", "invalid_token")
        return checked

    async def _checked(self, text: bytes, digest: bytes) -> Key | None:
        parts = split_key(text)
        key = None if parts is None else self._keys.get(parts[0])
        if parts is None or key is None or digest in self._wrong:
            return None
        if digest not in self._checks:
            if self._slots[key.id] >= MAX_CHECKS_PER_ID:
                raise KeyChecksBusy(f"API key {key.id}: too many checks in progress, expected a retry")
            self._slots[key.id] += 1
            self._checks[digest] = asyncio.create_task(self._check(key, parts[1], digest))
        # Shielded: all requests with this key wait for one check, and must not cancel it for the others.
        return await asyncio.shield(self._checks[digest])

    async def _check(self, key: Key, secret: bytes, digest: bytes) -> Key | None:
        valid = False
        try:
            async with self._one_at_a_time:
                valid = await asyncio.to_thread(self._is_opened_by, key, secret)
        finally:
            del self._checks[digest]
            asyncio.get_running_loop().call_later(0 if valid else PENALTY_S, self._free, key.id)
        if not valid:
            self._remember_wrong(digest)
            return None
        if self._keys.get(key.id) != key:  # revoked during the check
            return None
        self._admitted[digest] = key
        return key

    def _free(self, key_id: str) -> None:
        self._slots[key_id] -= 1
        if not self._slots[key_id]:
            del self._slots[key_id]

    def _remember_wrong(self, digest: bytes) -> None:
        if len(self._wrong) >= MAX_WRONG:
            del self._wrong[next(iter(self._wrong))]
        self._wrong[digest] = None

    def _reload_if_changed(self) -> None:
        now = self._clock()
        if now < self._reload_at:
            return
        self._reload_at = now + RELOAD_EVERY_S
        file_state = self._stat()
        if file_state == self._file_state:
            return
        self._file_state = file_state
        try:
            self._replace(_by_id(read_keyring(self._path)))
        except KeysFileInvalid as exc:
            log.error("keys file refused", reason=str(exc), keys=len(self._keys))  # noqa: TRY400 - the reason is enough

    def _replace(self, keys: dict[str, Key]) -> None:
        self._keys = keys
        self._wrong.clear()
        self._admitted = {digest: key for digest, key in self._admitted.items() if keys.get(key.id) == key}
        log.info("keys reloaded", keys=len(keys))

    def _stat(self) -> FileState:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size


def _by_id(keyring: Keyring) -> dict[str, Key]:
    return {key.id: key for key in keyring.keys}
