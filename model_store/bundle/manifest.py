"""The manifest of a bundle: its content and its checksums."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model_store.bundle.scale import Kind, Scale, scale_of
from model_store.errors import BundleDamaged, SchemaMismatch

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
# Bytes. The interpreter's lock is released once per block; small blocks wait for it often while requests run.
HASH_BLOCK = 4 << 20
MAX_MANIFEST_BYTES = 1 << 24

# Called with the path and the content of a manifest; raises BundleError to refuse it.
ManifestCheck = Callable[[Path, bytes], None]

# Files of every bundle of this schema; reports, attributes and items' keys may be absent.
REQUIRED_FILES = (
    "adapt.onnx",
    "vote.onnx",
    "score.onnx",
    "encode_item.onnx",
    "items.jsonl",
    "items.offsets.npy",
    "items.vectors.npy",
    "neighbours.rows.npy",
    "neighbours.weights.npy",
    "features.json",
    "golden.npz",
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeedbackSpec(_Part):
    """Values and types of events that feedback may have, on the scale of the training data.

    ``types`` maps an event type ("like", "click") to its value. A value of at least ``liked_at_least`` is *positive*:
    it counts as a hit if its item was in the last list served. ``kind`` decides the value of several events about one
    item, see ``bundle.scale``.
    """

    kind: Kind = "ratings"
    value_min: float
    value_max: float
    liked_at_least: float
    types: dict[str, float]

    @cached_property
    def scale(self) -> Scale:
        """The scale of all values."""
        return scale_of(self.kind, self.value_min, self.value_max, self.liked_at_least)


class Shapes(_Part):
    """Sizes shared by all arrays and graphs of the bundle.

    Attributes:
        items: rows of the catalogue.
        state_dim: length of ``user_state`` and of an item vector, float32.
        neighbours: neighbours per item, summed over all parts with lists.
        features: item features of ``encode_item.onnx``.
        attributes: user attributes of ``adapt.onnx``.
    """

    items: int = Field(ge=1)
    state_dim: int = Field(ge=1)
    neighbours: int = Field(ge=1)
    features: int = Field(ge=0)
    attributes: int = Field(0, ge=0)


class Limits(_Part):
    """Limits that the graphs were exported and checked for."""

    max_support: int = Field(ge=1, description="events the inner loop reads; older ones are only excluded")
    max_count: int = Field(ge=1, description="longest list that score.onnx returns")


class DataFingerprint(_Part):
    """Origin, hash and size of the training data."""

    source: str
    sha256: str
    users: int
    items: int
    events: int


class FileEntry(_Part):
    """One file of the bundle: its SHA-256 (hex) and its size in bytes."""

    sha256: str
    size: int


class Manifest(_Part):
    """The typed content of ``manifest.json``.

    ``version`` is derived from the content of all other files (see :func:`content_version`), so bundles with equal
    versions are equal.
    """

    schema_version: int
    version: str
    created_at: datetime
    shapes: Shapes
    limits: Limits
    feedback: FeedbackSpec
    data: DataFingerprint
    training: dict[str, Any]
    results: dict[str, Any]
    signatures: dict[str, dict[str, str]] = Field(
        description="graph file → input or output name → dtype and shape, as text for people"
    )
    files: dict[str, FileEntry]
    seal: str | None = Field(
        None, description="SHA-256 (hex) over all other fields of the manifest; absent in older bundles"
    )


def file_entry(path: Path) -> FileEntry:
    """Hash and measure one file in a single pass."""
    # Anonymous memory: the heap would not return blocks of this size after use.
    digest, size, block = hashlib.sha256(), 0, memoryview(mmap.mmap(-1, HASH_BLOCK))
    with path.open("rb", buffering=0) as stream:
        while length := stream.readinto(block):
            digest.update(block[:length])
            size += length
    return FileEntry(sha256=digest.hexdigest(), size=size)


def check_plain(path: Path) -> None:
    """Refuse missing files, folders, pipes, devices, and links, which may lead out of the bundle."""
    if path.is_symlink() or not path.is_file():
        raise BundleDamaged(f"{path}: expected a plain file of the bundle; it is missing, a link or something else")


def content_version(files: dict[str, FileEntry]) -> str:
    """Version of a bundle: 12 hex digits of the SHA-256 over its files' names and hashes."""
    listing = "".join(f"{name}\0{files[name].sha256}\n" for name in sorted(files))
    return hashlib.sha256(listing.encode()).hexdigest()[:12]


def sealed(manifest: Manifest) -> bytes:
    """Content of the manifest's file, with its seal."""
    content = orjson.loads(manifest.model_dump_json(exclude={"seal"}))
    return orjson.dumps(content | {"seal": seal_of(content)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def read_manifest(folder: Path, signed: ManifestCheck | None = None) -> Manifest:
    """Read and check ``manifest.json``: signature if ``signed`` is set, schema version, then the rest.

    Raises:
        BundleDamaged: the manifest is missing, invalid, or was changed after it was sealed.
        SchemaMismatch: it has another schema version.
        SignatureRefused: ``signed`` refuses it.
    """
    path = folder / MANIFEST_FILE
    check_plain(path)
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as exc:
        raise BundleDamaged(f"{path}: cannot be read ({exc.strerror}); expected the manifest of a bundle") from exc
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleDamaged(f"{path}: over {MAX_MANIFEST_BYTES} bytes, expected a manifest of at most that")
    if signed is not None:
        signed(path, text)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as exc:
        version = _schema_version(text)
        if version is not None and version != SCHEMA_VERSION:
            raise _other_schema(path, version) from exc
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise BundleDamaged(f"{path}: {where}: {first['msg']}; expected a manifest of schema {SCHEMA_VERSION}") from exc
    if manifest.schema_version == SCHEMA_VERSION:
        _check_seal(path, text, manifest.seal)
    return manifest


def _check_seal(path: Path, text: bytes, expected: str | None) -> None:
    if expected is None:
        return
    try:
        content = orjson.loads(text)
    except ValueError as exc:
        raise BundleDamaged(f"{path}: cannot be read as JSON ({exc})") from exc
    del content["seal"]
    actual = seal_of(content)
    if actual != expected:
        raise BundleDamaged(f"{path}: its content has seal {actual}, expected {expected} as written in it")


def seal_of(content: dict[str, Any]) -> str:
    """The seal of a manifest: SHA-256 (hex) over its fields in JSON, sorted by name, without the seal itself."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def check_schema(manifest: Manifest, folder: Path) -> None:
    """Refuse a manifest of another schema version; raises SchemaMismatch with both versions."""
    if manifest.schema_version != SCHEMA_VERSION:
        raise _other_schema(folder / MANIFEST_FILE, manifest.schema_version)


def _other_schema(path: Path, version: int) -> SchemaMismatch:
    return SchemaMismatch(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; train and export it again")


class _OnlySchema(BaseModel):
    schema_version: int


def _schema_version(text: bytes) -> int | None:
    try:
        return _OnlySchema.model_validate_json(text).schema_version
    except ValidationError:
        return None
