"""Conversion of text files, compressed or in any encoding, to plain UTF-8."""

from __future__ import annotations

import codecs
import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from model_store.errors import DataError

GZIP = b"\x1f\x8b"
# First bytes of other types of files, which may have the name of a text file.
OTHER_KINDS = {
    b"PAR1": "a Parquet file; name it .parquet",
    b"PK\x03\x04": "a zip archive or an Excel file; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel file; save the sheet as CSV",
    b"SQLite format 3": "an SQLite database; export the table as CSV",
    b"ARROW1": "a Feather or Arrow file; write it as Parquet",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; expected plain text or gzip",
    b"BZh": "compressed with bzip2; expected plain text or gzip",
    b"\xfd7zXZ": "compressed with xz; expected plain text or gzip",
}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
CHUNK_BYTES = 1 << 20


@contextmanager
def plain_text(path: Path, encoding: str) -> Iterator[Path]:
    """Provide the text of ``path`` uncompressed and in UTF-8: the file itself, or a copy that exists in the context.

    A byte order mark takes precedence over ``encoding``.

    Raises:
        DataError: the file is not a text file, ``encoding`` is unknown, or the file has another encoding.
    """
    with tempfile.TemporaryDirectory(prefix="kshot-") as folder:
        unpacked = _unpacked(path, Path(folder) / "unpacked")
        start = _start(unpacked)
        marked = next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)
        encoding = marked or encoding
        _refuse_other_kinds(path, start, encoding)
        if encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"}:
            yield unpacked
        else:
            yield _transcoded(path, unpacked, encoding, Path(folder) / "text")


def looks_like_utf8(cells: list[str], encoding: str) -> bool:
    """Whether ``cells``, all beyond ASCII, are UTF-8 that was decoded as ``encoding``, as in "Ã©" for "é"."""
    if codecs.lookup(encoding).name.startswith("utf"):
        return False
    try:
        return bool(cells) and bool("".join(cells).encode(encoding).decode())
    except UnicodeError:
        return False


def not_in_encoding(name: str, line: int, byte: int, encoding: str) -> DataError:
    """Make the error about a byte that is invalid in ``encoding``."""
    proposals = ", or ".join(f"--encoding {other}" for other in ("utf-8", "cp1252", "latin-1") if other != encoding)
    return DataError(f"{name}: line {line}: byte 0x{byte:02x} is not {encoding}; set the file's encoding: {proposals}")


def _unpacked(path: Path, copy: Path) -> Path:
    if not _start(path).startswith(GZIP):
        return path
    try:
        with gzip.open(path) as packed, copy.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise DataError(f"{path}: the gzip file is damaged or incomplete ({exc}); create it again") from exc
    return copy


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _refuse_other_kinds(path: Path, start: bytes, encoding: str) -> None:
    kind = next((kind for magic, kind in OTHER_KINDS.items() if start.startswith(magic)), None)
    if kind is not None:
        raise DataError(f"{path}: is {kind}")
    # UTF-16 has a zero in every other byte of Latin text. A single zero byte only makes its id invalid, in cleaning.
    if 4 * start.count(b"\0") > len(start) and not encoding.lower().startswith(("utf-16", "utf-32", "utf16", "utf32")):
        raise DataError(f"{path}: has zero bytes as in UTF-16; if this is its encoding, add --encoding utf-16-le")


def _transcoded(path: Path, source: Path, encoding: str, copy: Path) -> Path:
    line = 1
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        "".encode(encoding)  # fails for codecs that are not text encodings, such as base64
        with source.open("rb") as packed, copy.open("w", encoding="utf-8", newline="") as text:
            for chunk in _chunks(packed):
                decoded = decoder.decode(chunk)
                line += decoded.count("\n")
                text.write(decoded)
            text.write(decoder.decode(b"", final=True))
    except LookupError as exc:
        raise DataError(
            f"--encoding {encoding!r}: no such encoding; expected one such as utf-8, cp1252, latin-1"
        ) from exc
    except UnicodeDecodeError as exc:
        line += exc.object[: exc.start].count(b"\n")
        raise not_in_encoding(str(path), line, exc.object[exc.start], encoding) from exc
    except UnicodeError as exc:  # surrogates
        raise DataError(f"{path}: is not {encoding} ({exc}); set the file's encoding with --encoding") from exc
    return copy


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(CHUNK_BYTES), b"")
