"""A bundle in which anything is damaged is refused by name before it is parsed, or the damage changes nothing."""

from __future__ import annotations

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
    """Something of the bundle is being read for what it says."""


@pytest.fixture(scope="module")
def small(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest bundle that is one, with a report; its hashes are all that stands between it and the service."""
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
def nothing_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever parses an array or opens a graph trips; the items are mapped between the two."""

    def trip(*_args: object, **_kwargs: object) -> None:
        raise ParsedError

    monkeypatch.setattr(np, "load", trip)
    monkeypatch.setattr(ort, "InferenceSession", trip)


def refusal(folder: Path) -> str | None:
    """What is said against the bundle before anything of it is parsed; None if it would be parsed next."""
    try:
        open_bundle(folder)
    except BundleError as exc:
        return str(exc)
    except ParsedError:
        return None
    raise AssertionError("the bundle was opened without being parsed")


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """One bit of a file is another while the block runs."""
    with path.open("r+b", buffering=0) as stream:
        (before,) = os.pread(stream.fileno(), 1, at)
        os.pwrite(stream.fileno(), bytes([before ^ 1 << bit]), at)
        try:
            yield
        finally:
            os.pwrite(stream.fileno(), bytes([before]), at)


def test_a_bundle_that_is_whole_is_parsed(folder: Path, nothing_parsed: None) -> None:
    assert refusal(folder) is None


def test_a_flipped_bit_is_refused_by_name_or_changes_nothing(
    folder: Path, nothing_parsed: None, sized: Any, tell: Any, progress: Any
) -> None:
    """In the long form every byte: all of the manifest and every twentieth of the rest by opening the bundle."""
    rng, whole, opened_every = random.Random(1), read_manifest(folder), sized(1, 20)
    paths = sorted(folder.iterdir())
    places = [(path, at) for path in paths for at in range(path.stat().st_size)]
    tried = places if sized(False, True) else [*rng.sample(places, 300), *_ends(paths)]
    found = Counter[str]()
    for number, (path, at) in enumerate(tried):
        with flipped(path, at, rng.randrange(8)):
            if number % opened_every and path.name != MANIFEST_FILE:
                assert file_entry(path) != whole.files[path.name]  # all that opening looks at
                found["seen by hash"] += 1
            elif (said := refusal(folder)) is not None:
                assert path.name in said
                found["refused"] += 1
            else:
                assert path.name == MANIFEST_FILE
                assert read_manifest(folder) == whole
                found["harmless"] += 1
        if number % 1000 == 0:
            progress(number, len(tried))
    tell(bytes=len(places), flipped=len(tried), **found)
    assert found["harmless"] < 100  # spaces and the like, of the manifest only


def _ends(paths: list[Path]) -> list[tuple[Path, int]]:
    return [(path, at) for path in paths for at in (0, path.stat().st_size - 1)]


def test_a_file_of_another_length_is_refused_by_name(folder: Path, nothing_parsed: None, tell: Any) -> None:
    tried = 0
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for other in (b"", content[:1], content[: len(content) // 2], content[:-2], content + b"\0", content + content):
            path.write_bytes(other)
            assert path.name in str(refusal(folder))
            tried += 1
        path.write_bytes(content)
    tell(lengths=tried, refused=tried)
    assert refusal(folder) is None


def test_files_that_change_places_are_refused_by_name(folder: Path, nothing_parsed: None, tell: Any) -> None:
    paths, aside = sorted(folder.iterdir()), folder.parent / "aside"
    pairs = [(one, other) for place, one in enumerate(paths) for other in paths[place + 1 :]]
    for one, other in pairs:
        for _ in range(2):
            one.rename(aside)
            other.rename(one)
            aside.rename(other)
            if (said := refusal(folder)) is not None:
                assert one.name in said or other.name in said
        assert said is None  # they are back
    tell(pairs=len(pairs), refused=len(pairs))


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
def test_what_is_no_plain_file_is_refused_by_name(
    small: Path, tmp_path: Path, nothing_parsed: None, replace: Callable[[Path], None]
) -> None:
    for name in sorted(path.name for path in small.iterdir()):
        folder = Path(shutil.copytree(small, tmp_path / f"without-{name}" / small.name))
        replace(folder / name)
        assert name in str(refusal(folder))


def test_files_that_the_manifest_does_not_name_are_never_opened(folder: Path, small: Path) -> None:
    whole = open_bundle(small)
    for name in ("zzz.onnx", "items.jsonl.bak", ".hidden", "__init__.py", "adapt.onnx.data"):
        os.mkfifo(folder / name)  # whoever opened it would wait for ever
    (folder / "sub").mkdir()
    (folder / "sub" / "score.onnx").write_bytes(b"evil")
    found = open_bundle(folder)
    assert found.manifest == whole.manifest
    assert list(found.catalogue.ids) == list(whole.catalogue.ids)


def edits(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and manifest of every edit: each field taken away and changed, new ones added."""
    for name, value in manifest.items():
        yield f"without {name}", {each: kept for each, kept in manifest.items() if each != name}
        yield f"another {name}", manifest | {name: _another(value)}
    for file in manifest["files"]:
        files = {each: value for each, value in manifest["files"].items() if each != file}
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


def test_an_edited_manifest_is_refused_by_name(folder: Path, nothing_parsed: None, tell: Any) -> None:
    path, edited = folder / MANIFEST_FILE, 0
    for what, manifest in edits(json.loads(path.read_text())):
        if what == "without seal":  # what a bundle from before seals looks like
            continue
        path.write_text(json.dumps(manifest))
        assert MANIFEST_FILE in str(refusal(folder)), what
        edited += 1
    tell(edits=edited, refused=edited)
