"""Who is let in: a key is checked slowly once, and known by a fast hash under a secret of this process from then on.

What a stranger can make the service do is bounded: an unknown id costs nothing, one slow check runs at a time and
off the event loop, few wait for the same id, and a wrong secret keeps its place for a while. Keys that were let in
before are not touched by any of it.
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

LOOK_EVERY_S = 1.0
MAX_CHECKS_PER_ID = 2
PENALTY_S = 0.5
MAX_KNOWN_WRONG = 4096

Look = tuple[int, int, int] | None
Check = Callable[[Key, bytes], bool]

log = structlog.get_logger()


class Gate:
    """Lets keys in by the keys file, read again when it changes; one that is gone or damaged changes nothing."""

    def __init__(
        self, path: Path, *, check: Check = Key.is_opened_by, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the keys; ``check`` is the slow part, ``clock`` counts seconds.

        Raises:
            KeysFileInvalid: ``path`` cannot be read, or is no keys file.
            SettingInvalid: it holds no key, so that nobody could ever get in.
        """
        self._path, self._is_opened_by, self._clock = path, check, clock
        self._process_secret = secrets.token_bytes(32)
        self._seen, self._look_at = self._look(), clock() + LOOK_EVERY_S
        self._keys = _by_id(read_keyring(path))
        if not self._keys:
            raise SettingInvalid(f"keys_file: {path} holds no key, expected one at least; make it with: kshot keys new")
        self._let_in: dict[bytes, Key] = {}
        self._known_wrong: dict[bytes, None] = {}
        self._checks: dict[bytes, asyncio.Task[Key | None]] = {}
        self._places: Counter[str] = Counter()
        self._one_at_a_time = asyncio.Semaphore(1)

    async def admit(self, text: bytes) -> Key:
        """The key whose text is ``text``.

        Raises:
            KeyRefused: there is none, or not any more.
            KeyChecksBusy: it cannot be checked now.
        """
        self._read_again_if_changed()
        digest = hashlib.blake2b(text, key=self._process_secret).digest()
        known = self._let_in.get(digest)
        if known is not None:
            return known
        checked = await self._checked(text, digest)
        if checked is None:
            raise KeyRefused("API key: not one of this service, or revoked, expected a valid one", "invalid_token")
        return checked

    async def _checked(self, text: bytes, digest: bytes) -> Key | None:
        parts = split_key(text)
        key = None if parts is None else self._keys.get(parts[0])
        if parts is None or key is None or digest in self._known_wrong:
            return None
        if digest not in self._checks:
            if self._places[key.id] >= MAX_CHECKS_PER_ID:
                raise KeyChecksBusy(f"API key {key.id}: too many checks under way, expected a retry")
            self._places[key.id] += 1
            self._checks[digest] = asyncio.create_task(self._check(key, parts[1], digest))
        # Shielded: all requests with one key wait for one check, and one that is cancelled does not end it.
        return await asyncio.shield(self._checks[digest])

    async def _check(self, key: Key, secret: bytes, digest: bytes) -> Key | None:
        right = False
        try:
            async with self._one_at_a_time:
                right = await asyncio.to_thread(self._is_opened_by, key, secret)
        finally:
            del self._checks[digest]
            asyncio.get_running_loop().call_later(0 if right else PENALTY_S, self._free, key.id)
        if not right:
            self._remember_wrong(digest)
            return None
        if self._keys.get(key.id) != key:  # revoked meanwhile
            return None
        self._let_in[digest] = key
        return key

    def _free(self, key_id: str) -> None:
        self._places[key_id] -= 1
        if not self._places[key_id]:
            del self._places[key_id]

    def _remember_wrong(self, digest: bytes) -> None:
        if len(self._known_wrong) >= MAX_KNOWN_WRONG:
            del self._known_wrong[next(iter(self._known_wrong))]
        self._known_wrong[digest] = None

    def _read_again_if_changed(self) -> None:
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._replace(_by_id(read_keyring(self._path)))
        except KeysFileInvalid as exc:
            log.error("keys refused", reason=str(exc), keys=len(self._keys))  # noqa: TRY400 - the reason says it all

    def _replace(self, keys: dict[str, Key]) -> None:
        self._keys = keys
        self._known_wrong.clear()
        self._let_in = {digest: key for digest, key in self._let_in.items() if keys.get(key.id) == key}
        log.info("keys read again", keys=len(keys))

    def _look(self) -> Look:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _by_id(keyring: Keyring) -> dict[str, Key]:
    return {key.id: key for key in keyring.keys}
