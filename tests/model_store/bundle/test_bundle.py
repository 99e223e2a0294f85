"""Bundles: complete ones open; damaged ones are refused with the name of the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from resealed import reseal, rewrite_manifest

from model_store.bundle import Registry, open_bundle
from model_store.bundle.manifest import file_entry, read_manifest
from model_store.errors import BundleDamaged, BundleError, GoldenMismatch, RegistryError, SchemaMismatch


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_store, tmp_path / "store"))


@pytest.fixture
def folder(store: Path) -> Path:
    return Registry(store).live_folder()


def test_a_published_bundle_opens(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.version == folder.name
    assert len(bundle.catalogue) == bundle.manifest.shapes.items


@pytest.mark.parametrize("name", ["score.onnx", "items.jsonl", "items.vectors.npy", "golden.npz", "report.html"])
def test_a_flipped_byte_is_refused_with_the_file_and_both_hashes(folder: Path, name: str) -> None:
    path = folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    expected = file_entry(path).sha256
    path.write_bytes(content)
    with pytest.raises(BundleDamaged) as refused:
        open_bundle(folder)
    assert all(part in str(refused.value) for part in (name, expected, file_entry(path).sha256))


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "vote.onnx").unlink()
    with pytest.raises(BundleDamaged, match=r"vote\.onnx"):
        open_bundle(folder)


def test_a_link_out_of_the_bundle_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    shutil.move(folder / "items.jsonl", outside)
    (folder / "items.jsonl").symlink_to(outside)
    with pytest.raises(BundleDamaged, match=r"items\.jsonl.*plain file"):
        open_bundle(folder)


def test_another_schema_version_is_refused_with_both_numbers(folder: Path) -> None:
    rewrite_manifest(folder, schema_version=99)
    with pytest.raises(SchemaMismatch, match=r"99, expected 1"):
        open_bundle(folder)


def test_a_later_schema_with_other_fields_is_recognised(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"schema_version": 2, "something": "new"}')
    with pytest.raises(SchemaMismatch, match=r"2, expected 1"):
        open_bundle(folder)


def test_a_manifest_that_names_files_elsewhere_is_refused(folder: Path) -> None:
    files = json.loads((folder / "manifest.json").read_text())["files"]
    rewrite_manifest(folder, files=files | {"../live": files["items.jsonl"]})
    with pytest.raises(BundleDamaged, match=r"\.\./live"):
        open_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}'])
def test_an_invalid_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleDamaged, match=r"manifest\.json"):
        read_manifest(folder)


def test_graphs_that_miss_their_golden_cases_are_refused(folder: Path) -> None:
    path = folder / "golden.npz"
    with np.load(path) as saved:
        arrays = dict(saved)
    key = next(key for key in arrays if key.endswith("adapt.onnx/out/user_state"))
    arrays[key] = arrays[key] + 0.5
    np.savez_compressed(path, **arrays)
    reseal(folder, "golden.npz")
    with pytest.raises(GoldenMismatch, match=r"golden\.npz.*user_state.*expected"):
        open_bundle(folder)


def test_catalogue_arrays_of_other_lengths_are_refused(folder: Path) -> None:
    rows = np.load(folder / "neighbours.rows.npy")
    np.save(folder / "neighbours.rows.npy", rows[:-1])
    reseal(folder, "neighbours.rows.npy")
    with pytest.raises(BundleDamaged, match=r"neighbours\.rows\.npy"):
        open_bundle(folder)


def test_an_invalid_graph_is_refused(folder: Path) -> None:
    (folder / "adapt.onnx").write_bytes(b"not a graph")
    reseal(folder, "adapt.onnx")
    with pytest.raises(BundleError, match=r"adapt\.onnx"):
        open_bundle(folder)


@pytest.mark.parametrize("row", [b"{", b"[]", b'{"title":"x"}', b'{"item_id":5}'])
def test_items_without_ids_are_refused(folder: Path, row: bytes) -> None:
    path = folder / "items.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(row.ljust(len(first)) + b"\n" + rest)
    reseal(folder, "items.jsonl")
    with pytest.raises(BundleDamaged, match=r"items\.jsonl.*item_id"):
        open_bundle(folder)


def test_features_that_are_not_json_are_refused(folder: Path) -> None:
    (folder / "features.json").write_bytes(b"{")
    reseal(folder, "features.json")
    with pytest.raises(BundleDamaged, match=r"features\.json"):
        open_bundle(folder)


def test_a_version_that_differs_from_the_content_is_refused_with_both(folder: Path) -> None:
    rewrite_manifest(folder, version="0123456789ab")
    with pytest.raises(BundleDamaged, match=rf"version 0123456789ab, expected {folder.name}"):
        open_bundle(folder)


def test_a_bundle_from_before_seals_opens(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    del content["seal"]
    (folder / "manifest.json").write_text(json.dumps(content))
    assert open_bundle(folder).version == folder.name


def test_keys_of_items_may_be_absent_but_not_unverified(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "items.keys.npy", tmp_path / "kept")
    reseal(folder, "items.keys.npy")
    catalogue = open_bundle(folder).catalogue
    assert catalogue.rows(catalogue.ids).tolist() == list(range(len(catalogue)))
    shutil.move(tmp_path / "kept", folder / "items.keys.npy")
    with pytest.raises(BundleDamaged, match=r"items\.keys\.npy.*not in the manifest"):
        open_bundle(folder)


def second_version(store: Path) -> str:
    registry = Registry(store)
    copy = registry.bundles / "0123456789ab"
    shutil.copytree(registry.live_folder(), copy)
    rewrite_manifest(copy, version=copy.name)
    return copy.name


def test_a_rollback_reverses_a_promotion(store: Path) -> None:
    registry, first, second = Registry(store), Registry(store).live(), second_version(store)
    registry.promote(second)
    assert registry.live() == second
    assert registry.rollback() == first
    assert registry.live() == first


def test_rollback_without_an_earlier_version_is_an_error(store: Path) -> None:
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        Registry(store).rollback()


def test_promoting_the_live_version_again_keeps_the_version_before_it(store: Path) -> None:
    registry, first, second = Registry(store), Registry(store).live(), second_version(store)
    registry.promote(second)
    registry.promote(second)
    assert registry.rollback() == first


@pytest.mark.parametrize("version", ["nonesuch", "../bundles", ".", ""])
def test_an_unknown_version_is_refused_with_the_existing_ones(store: Path, version: str) -> None:
    with pytest.raises(RegistryError, match=Registry(store).live()):
        Registry(store).promote(version)


def test_an_empty_bundles_folder_names_the_command_to_train(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="kshot train"):
        Registry(tmp_path).live()


def test_publishing_removes_the_draft(store: Path) -> None:
    assert [path.name for path in Registry(store).bundles.iterdir()] == [Registry(store).live()]
