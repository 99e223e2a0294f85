"""Damaged bundles are refused by the name of the file before anything is parsed, or the damage changes nothing."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from model_store.bundle import Registry, open_bundle
from model_store.bundle.manifest import MANIFEST_FILE, file_entry, read_manifest
from model_store.config import TrainingConfig
from model_store.data.sources import load
from model_store.errors import BundleError
from model_store.export import write_draft
from model_store.meta.network import build


class ParsedError(Exception):
    """A file of the bundle is about to be parsed."""


@pytest.fixture(scope="module")
def small(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the smallest size, with a report and without a signature; its hashes alone protect it."""
    registry, dataset = Registry(tmp_path_factory.mktemp("small")), load(str(source)).dataset
    config = TrainingConfig(dim=4, anchors=8, neighbours=1, inner_steps=1, max_support=20)
    network = build(dataset, dataset.events, config, (0, 1, 3, 5))
    with write_draft(registry, dataset, network, config) as draft:
        (draft.folder / "report.html").write_text("<h1>how good it is</h1>")
        draft.publish(registry, results={"ndcg": 0.5})
    return registry.live_folder()


@pytest.fixture
def folder(small: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(small, tmp_path / small.name))


@pytest.fixture
def raise_on_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise ParsedError where an array is parsed or a graph is opened."""

    def raise_parsed(*_args: object, **_kwargs: object) -> None:
        raise ParsedError

    monkeypatch.setattr(np, "load", raise_parsed)
    monkeypatch.setattr(ort, "InferenceSession", raise_parsed)


def refusal(folder: Path) -> str | None:
    """Message of the refusal; None if the bundle would be parsed next."""
    try:
        open_bundle(folder)
    except BundleError as exc:
        return str(exc)
    except ParsedError:
        return None
    raise AssertionError("the bundle was opened without being parsed")


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """Flip one bit of a file during the context."""
    with path.open("r+b", buffering=0) as stream:
        (before,) = os.pread(stream.fileno(), 1, at)
        os.pwrite(stream.fileno(), bytes([before ^ 1 << bit]), at)
        try:
            yield
        finally:
            os.pwrite(stream.fileno(), bytes([before]), at)


def test_a_complete_bundle_is_parsed(folder: Path, raise_on_parsing: None) -> None:
    assert refusal(folder) is None


def test_a_flipped_bit_is_refused_by_name_or_changes_nothing(
    folder: Path, raise_on_parsing: None, sized: Any, record_counts: Any, progress: Any
) -> None:
    """The long run flips every byte and opens the bundle for all of the manifest and a twentieth of the rest."""
    rng, manifest, opened_every = random.Random(1), read_manifest(folder), sized(1, 20)
    paths = sorted(folder.iterdir())
    positions = [(path, at) for path in paths for at in range(path.stat().st_size)]
    tried = positions if sized(False, True) else [*rng.sample(positions, 300), *_ends(paths)]
    outcomes = Counter[str]()
    for number, (path, at) in enumerate(tried):
        with flipped(path, at, rng.randrange(8)):
            if number % opened_every and path.name != MANIFEST_FILE:
                assert file_entry(path) != manifest.files[path.name]  # the check that opening does
                outcomes["seen by hash"] += 1
            elif (message := refusal(folder)) is not None:
                assert path.name in message
                outcomes["refused"] += 1
            else:
                assert path.name == MANIFEST_FILE
                assert read_manifest(folder) == manifest
                outcomes["harmless"] += 1
        if number % 1000 == 0:
            progress(number, len(tried))
    record_counts(bytes=len(positions), flipped=len(tried), **outcomes)
    assert outcomes["harmless"] < 100  # such as spaces, in the manifest only


def _ends(paths: list[Path]) -> list[tuple[Path, int]]:
    return [(path, at) for path in paths for at in (0, path.stat().st_size - 1)]


def test_a_file_of_another_length_is_refused_by_name(folder: Path, raise_on_parsing: None, record_counts: Any) -> None:
    tried = 0
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for other in (b"", content[:1], content[: len(content) // 2], content[:-2], content + b"\0", content + content):
            path.write_bytes(other)
            assert path.name in str(refusal(folder))
            tried += 1
        path.write_bytes(content)
    record_counts(lengths=tried, refused=tried)
    assert refusal(folder) is None


def test_exchanged_files_are_refused_by_name(folder: Path, raise_on_parsing: None, record_counts: Any) -> None:
    paths, aside = sorted(folder.iterdir()), folder.parent / "aside"
    pairs = list(itertools.combinations(paths, 2))
    for one, other in pairs:
        for _ in range(2):
            one.rename(aside)
            other.rename(one)
            aside.rename(other)
            if (message := refusal(folder)) is not None:
                assert one.name in message or other.name in message
        assert message is None  # each file has its name again
    record_counts(pairs=len(pairs), refused=len(pairs))


def as_link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside"
    shutil.copy(path, outside)
    path.unlink()
    path.symlink_to(outside)


def as_link_inside(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def as_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent")


def as_link_to_a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "replace",
    [as_link_outside, as_link_inside, as_link_to_nothing, as_link_to_a_device, as_folder, as_pipe, Path.unlink],
)
def test_anything_but_a_plain_file_is_refused_by_name(
    small: Path, tmp_path: Path, raise_on_parsing: None, replace: Callable[[Path], None]
) -> None:
    for name in sorted(path.name for path in small.iterdir()):
        folder = Path(shutil.copytree(small, tmp_path / f"without-{name}" / small.name))
        replace(folder / name)
        assert name in str(refusal(folder))


def test_files_outside_the_manifest_are_never_opened(folder: Path, small: Path) -> None:
    expected = open_bundle(small)
    for name in ("zzz.onnx", "items.jsonl.bak", ".hidden", "__init__.py", "adapt.onnx.data"):
        os.mkfifo(folder / name)  # opening it would block for ever
    (folder / "sub").mkdir()
    (folder / "sub" / "score.onnx").write_bytes(b"evil")
    opened = open_bundle(folder)
    assert opened.manifest == expected.manifest
    assert list(opened.catalogue.ids) == list(expected.catalogue.ids)


def edits(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and manifest of every edit: every field removed and changed, and fields added."""
    for name, value in manifest.items():
        yield f"without {name}", {field: content for field, content in manifest.items() if field != name}
        yield f"another {name}", manifest | {name: _another(value)}
    for file in manifest["files"]:
        files = {path: entry for path, entry in manifest["files"].items() if path != file}
        yield f"without {file}", manifest | {"files": files}
    yield "more files", manifest | {"files": manifest["files"] | {"../live": manifest["files"]["items.jsonl"]}}
    yield "more fields", manifest | {"hook": "rm -rf /"}
    for name, value in (("max_count", 10**9), ("max_support", 10**9)):
        yield name, manifest | {"limits": manifest["limits"] | {name: value}}
    for name, value in (("value_max", 1e9), ("types", {"like": 1e9})):
        yield name, manifest | {"feedback": manifest["feedback"] | {name: value}}


def _another(value: object) -> object:
    match value:
        case int():
            return value + 1
        case str():
            return value[:-1] + chr(ord(value[-1]) ^ 1)
        case dict():
            return dict(list(value.items())[1:]) or {"x": 1}
        case _:
            return None


def test_an_edited_manifest_is_refused_by_name(folder: Path, raise_on_parsing: None, record_counts: Any) -> None:
    path, edited = folder / MANIFEST_FILE, 0
    for name, manifest in edits(json.loads(path.read_text())):
        if name == "without seal":  # a valid bundle of a time before seals
            continue
        path.write_text(json.dumps(manifest))
        assert MANIFEST_FILE in str(refusal(folder)), name
        edited += 1
    record_counts(edits=edited, refused=edited)
