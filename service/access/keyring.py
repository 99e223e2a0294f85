"""API keys at rest: a file of ids, scopes and slow hashes. A key itself is shown once and never stored.

A key has the form ``kshot_ID_SECRET``. A key with an unknown id is refused without a slow check, and the prefix lets
scanners find keys in repositories. The secret has 256 random bits; its hash is Argon2id (RFC 9106) with the minimum
memory of OWASP's password storage cheat sheet.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import KeysFileInvalid

KEY = re.compile(rb"kshot_([0-9a-f]{12})_([\w-]{43})")
ID_BYTES, SECRET_BYTES = 6, 32

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Scope(StrEnum):
    """Permissions of a key."""

    READ = "read"
    FEEDBACK = "feedback"
    METRICS = "metrics"
    ADMIN = "admin"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(_Part):
    """One key as stored in the file, without its secret."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, Field(max_length=100)] = ""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created_at: datetime
    hash: Annotated[str, Field(pattern=r"^\$argon2id\$")]

    def is_opened_by(self, secret: bytes) -> bool:
        """Whether ``secret`` belongs to this key. Slow on purpose, equally for every wrong secret."""
        try:
            return _hasher.verify(self.hash, secret)
        except (VerificationError, InvalidHashError):
            return False


class Keyring(_Part):
    """All keys of a service; there can be several, so that they can be replaced one by one."""

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    def with_new(self, scopes: Iterable[Scope], name: str, created_at: datetime) -> tuple[Keyring, str]:
        """The keyring with one more key, and the key's text, which cannot be recovered later."""
        key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        in_order = tuple(sorted(set(scopes), key=list(Scope).index))
        key = Key(id=key_id, name=name, scopes=in_order, created_at=created_at, hash=_hasher.hash(secret))
        return Keyring(keys=(*self.keys, key)), f"kshot_{key_id}_{secret}"

    def without(self, key_id: str) -> Keyring:
        """The keyring without one key; raises KeysFileInvalid for an unknown id."""
        kept = tuple(key for key in self.keys if key.id != key_id)
        if len(kept) == len(self.keys):
            ids = ", ".join(key.id for key in self.keys) or "none"
            raise KeysFileInvalid(f"key {key_id!r}: not in the keys file, expected one of its ids: {ids}")
        return Keyring(keys=kept)


def split_key(text: bytes) -> tuple[str, bytes] | None:
    """Id and secret in the text of a key; None for other text."""
    match = KEY.fullmatch(text)
    return None if match is None else (match[1].decode(), match[2])


def read_keyring(path: Path) -> Keyring:
    """The keys in ``path``.

    Raises:
        KeysFileInvalid: it cannot be read, or has another format; the message does not quote its content.
    """
    try:
        return Keyring.model_validate_json(path.read_bytes())
    except OSError as exc:
        raise KeysFileInvalid(
            f"keys file {path}: cannot be read ({exc.strerror}), expected one made by: kshot keys new"
        ) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        # Without the cause, which quotes the file.
        raise KeysFileInvalid(
            f"keys file {path}: {where}: {first['type']}, expected a file made by: kshot keys new"
        ) from None


def write_keyring(path: Path, keyring: Keyring) -> None:
    """Replace the file atomically: services read the old keys or the new ones. The file holds no secret."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_text(keyring.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as exc:
        raise KeysFileInvalid(f"keys file {path}: cannot be written ({exc.strerror})") from exc


def add_key(path: Path, scopes: Iterable[Scope], name: str, created_at: datetime) -> str:
    """Add a key to the file, which is created if absent, and return the key's text. Raises KeysFileInvalid."""
    with _exclusive_lock(path):
        keyring = read_keyring(path) if path.exists() else Keyring()
        keyring, text = keyring.with_new(scopes, name, created_at)
        write_keyring(path, keyring)
    return text


def revoke_key(path: Path, key_id: str) -> None:
    """Remove a key from the file; raises KeysFileInvalid for an unknown id."""
    with _exclusive_lock(path):
        write_keyring(path, read_keyring(path).without(key_id))


@contextmanager
def _exclusive_lock(path: Path) -> Iterator[None]:
    """Keep other commands from changing the file; otherwise one could restore a key that another revoked."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as exc:
        raise KeysFileInvalid(f"keys file {path}: its folder cannot be opened ({exc.strerror})") from exc
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
