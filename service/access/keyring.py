"""API keys at rest: a file of ids, scopes and slow hashes. The key itself is shown once and kept nowhere.

A key reads ``kshot_ID_SECRET``: the id finds its hash, so that an unknown one is refused without a slow check, and the
prefix lets scanners find keys that ended up in a repository. The secret has 256 random bits; its hash is Argon2id
(RFC 9106) with the least memory that OWASP's password storage cheat sheet asks for.
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
    """What a key may do."""

    READ = "read"
    FEEDBACK = "feedback"
    METRICS = "metrics"
    ADMIN = "admin"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(_Part):
    """One key as it lies on disk; the secret is not part of it."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, Field(max_length=100)] = ""
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    created_at: datetime
    hash: Annotated[str, Field(pattern=r"^\$argon2id\$")]

    def is_opened_by(self, secret: bytes) -> bool:
        """Whether ``secret`` is this key's. Slow on purpose, and as slow for one that is nearly right."""
        try:
            return _hasher.verify(self.hash, secret)
        except (VerificationError, InvalidHashError):
            return False


class Keyring(_Part):
    """All keys of a service; several at once, so that they can be changed one by one."""

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    def with_new(self, scopes: Iterable[Scope], name: str, created_at: datetime) -> tuple[Keyring, str]:
        """The keyring with one more key, and the key's text, which cannot be had again."""
        key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
        in_order = tuple(sorted(set(scopes), key=list(Scope).index))
        key = Key(id=key_id, name=name, scopes=in_order, created_at=created_at, hash=_hasher.hash(secret))
        return Keyring(keys=(*self.keys, key)), f"kshot_{key_id}_{secret}"

    def without(self, key_id: str) -> Keyring:
        """The keyring without one key; raises KeysFileInvalid if there is none of this id."""
        kept = tuple(key for key in self.keys if key.id != key_id)
        if len(kept) == len(self.keys):
            known = ", ".join(key.id for key in self.keys) or "none"
            raise KeysFileInvalid(f"key {key_id!r}: not in the keys file, expected one of its ids: {known}")
        return Keyring(keys=kept)


def split_key(text: bytes) -> tuple[str, bytes] | None:
    """Id and secret of a key's text; None if it is no key's."""
    found = KEY.fullmatch(text)
    return None if found is None else (found[1].decode(), found[2])


def read_keyring(path: Path) -> Keyring:
    """The keys in ``path``.

    Raises:
        KeysFileInvalid: it cannot be read, or is no keys file; the message quotes nothing of its content.
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
        # The cause is left out: it quotes the file.
        raise KeysFileInvalid(
            f"keys file {path}: {where}: {first['type']}, expected a file made by: kshot keys new"
        ) from None


def write_keyring(path: Path, keyring: Keyring) -> None:
    """Replace the file at once: a service sees the old keys or the new ones. What it holds opens nothing by itself."""
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        temporary.write_text(keyring.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as exc:
        raise KeysFileInvalid(f"keys file {path}: cannot be written ({exc.strerror})") from exc


def add_key(path: Path, scopes: Iterable[Scope], name: str, created_at: datetime) -> str:
    """The text of a new key, whose hash joins the file; a file that is not there is made. Raises KeysFileInvalid."""
    with _to_ourselves(path):
        keyring = read_keyring(path) if path.exists() else Keyring()
        keyring, text = keyring.with_new(scopes, name, created_at)
        write_keyring(path, keyring)
    return text


def revoke_key(path: Path, key_id: str) -> None:
    """Take a key out of the file; raises KeysFileInvalid if it has none of this id."""
    with _to_ourselves(path):
        write_keyring(path, read_keyring(path).without(key_id))


@contextmanager
def _to_ourselves(path: Path) -> Iterator[None]:
    """Keep other commands from changing the file meanwhile: what one revoked, another could write again."""
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
