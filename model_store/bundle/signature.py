"""Signatures of bundles: Ed25519 (RFC 8032) over the manifest, which holds the hash of every other file.

The file ``manifest.sig`` beside the manifest holds the signature in Base64. Keys are PEM files as written by OpenSSL.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from model_store.bundle.registry import replace_file
from model_store.errors import SignatureRefused, SigningKeyInvalid

SUFFIX = ".sig"
# Signed in front of the manifest, so that a signature made for another purpose is never accepted.
PURPOSE = b"kshot bundle manifest\0"
PUBLIC_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


class TrustedKeys:
    """Public keys that may sign bundles; several allow to replace them one by one."""

    def __init__(self, keys: Sequence[Ed25519PublicKey]) -> None:
        """Trust ``keys``, at least one."""
        self._keys = tuple(keys)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the Ed25519 keys of a PEM file; raises SigningKeyInvalid if it has no key or one of another kind."""
        blocks = PUBLIC_KEY.findall(_content(path))
        if not blocks:
            raise SigningKeyInvalid(f"{path}: holds no public key, expected at least one in PEM")
        return cls([_public(block, path) for block in blocks])

    def check(self, manifest: Path, content: bytes) -> None:
        """Check the signature beside ``manifest`` over ``content``, the bytes that were read from it.

        Raises:
            SignatureRefused: the signature is missing, invalid, or not by one of these keys.
        """
        path = manifest.with_suffix(SUFFIX)
        try:
            signature = base64.b64decode(path.read_bytes().strip(), validate=True)
        except OSError as exc:
            raise SignatureRefused(
                f"{path}: cannot be read ({exc.strerror}), expected a signature; make it with: kshot bundles sign"
            ) from exc
        except binascii.Error as exc:
            raise SignatureRefused(f"{path}: is not Base64, expected a signature") from exc
        if not any(_has_signed(key, signature, content) for key in self._keys):
            raise SignatureRefused(
                f"{path}: not a signature of this manifest by one of the {len(self._keys)} trusted keys, expected one"
            )


def make_keys(path: Path) -> Path:
    """Write a new private key to ``path``, readable by its owner only, and its public key beside it.

    Returns:
        The file of the public key.

    Raises:
        SigningKeyInvalid: one of the files exists, or cannot be written; then neither is written.
    """
    if not path.name:
        raise SigningKeyInvalid(f"{path}: a folder, expected the name of a new file for the private key")
    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.name}.pub")
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(path, private_pem, 0o600)
    try:
        _write_new(public, public_pem, 0o644)
    except SigningKeyInvalid:
        path.unlink()
        raise
    return public


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist yet; remove it if that fails."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            try:
                stream.write(content)
                stream.flush()
            except OSError:
                path.unlink()
                raise
    except OSError as exc:
        raise SigningKeyInvalid(f"{path}: cannot be created ({exc.strerror}), expected a new file") from exc


def sign_manifest(manifest: Path, private_key: Path) -> Path:
    """Sign ``manifest`` and return the file of the signature, which is replaced atomically.

    Raises:
        SigningKeyInvalid: ``private_key`` is not an Ed25519 key in PEM.
        RegistryError: the signature cannot be written.
    """
    key = _private(private_key)
    signature = key.sign(PURPOSE + manifest.read_bytes())
    path = manifest.with_suffix(SUFFIX)
    replace_file(path, base64.b64encode(signature) + b"\n")
    return path


def _has_signed(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, PURPOSE + content)
    except InvalidSignature:
        return False
    return True


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise SigningKeyInvalid(f"{path}: cannot be read ({exc.strerror}), expected a key in PEM") from exc


def _public(block: bytes, path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(block)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise SigningKeyInvalid(f"{path}: cannot be read as a public key, expected Ed25519 in PEM") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise SigningKeyInvalid(f"{path}: a key of another kind, expected Ed25519")
    return key


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(_content(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause, whose message could contain parts of the private key.
        raise SigningKeyInvalid(f"{path}: cannot be read as a private key, expected Ed25519 in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyInvalid(f"{path}: a key of another kind, expected Ed25519")
    return key
