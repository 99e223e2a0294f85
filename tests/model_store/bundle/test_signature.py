"""Signed bundles: they open only with a signature of a trusted key over the manifest."""

from __future__ import annotations

import ast
import base64
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from resealed import reseal
from root import ROOT
from typer.testing import CliRunner

from model_store.bundle import Registry, open_bundle
from model_store.bundle.signature import PURPOSE, TrustedKeys, make_keys, sign_manifest
from model_store.commands.bundles import bundles
from model_store.errors import BundleError, SignatureRefused, SigningKeyInvalid


@pytest.fixture
def folder(trained_store: Path, tmp_path: Path) -> Path:
    """A copy of the trained bundle."""
    return Path(shutil.copytree(Registry(trained_store).live_folder(), tmp_path / "bundle"))


@pytest.fixture
def private_key(tmp_path: Path) -> Path:
    make_keys(tmp_path / "ours")
    return tmp_path / "ours"


@pytest.fixture
def trusted(private_key: Path) -> TrustedKeys:
    return TrustedKeys.read(private_key.with_name("ours.pub"))


def test_a_signed_bundle_opens(folder: Path, private_key: Path, trusted: TrustedKeys) -> None:
    sign_manifest(folder / "manifest.json", private_key)
    assert open_bundle(folder, signed=trusted.check).version == open_bundle(folder).version


def test_openssl_agrees_with_the_signature(folder: Path, private_key: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    path = sign_manifest(folder / "manifest.json", private_key)
    signature, signed = tmp_path / "signature", tmp_path / "signed"
    signature.write_bytes(base64.b64decode(path.read_bytes()))
    signed.write_bytes(PURPOSE + (folder / "manifest.json").read_bytes())
    command = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", f"{private_key}.pub", "-rawin"]
    subprocess.run([*command, "-in", signed, "-sigfile", signature], check=True, capture_output=True)


def test_a_bundle_without_a_signature_is_refused(folder: Path, trusted: TrustedKeys) -> None:
    with pytest.raises(SignatureRefused, match="expected a signature; make it with: kshot bundles sign"):
        open_bundle(folder, signed=trusted.check)


def test_a_bundle_that_was_changed_and_resealed_is_refused(
    folder: Path, private_key: Path, trusted: TrustedKeys
) -> None:
    sign_manifest(folder / "manifest.json", private_key)
    (folder / "features.json").write_bytes((folder / "features.json").read_bytes() + b" ")
    reseal(folder, "features.json")
    with pytest.raises(SignatureRefused, match="not a signature of this manifest by one of the 1 trusted keys"):
        open_bundle(folder, signed=trusted.check)


def test_every_byte_of_the_manifest_is_signed(folder: Path, private_key: Path, trusted: TrustedKeys) -> None:
    manifest = folder / "manifest.json"
    sign_manifest(manifest, private_key)
    content = manifest.read_bytes()
    trusted.check(manifest, content)
    for position in range(0, len(content), 97):
        with pytest.raises(SignatureRefused):
            trusted.check(manifest, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    with pytest.raises(SignatureRefused):
        trusted.check(manifest, content + b"\n")


@pytest.mark.parametrize("content", [b"", b"not Base64!", base64.b64encode(bytes(64)), base64.b64encode(bytes(7))])
def test_an_invalid_signature_is_refused(folder: Path, private_key: Path, trusted: TrustedKeys, content: bytes) -> None:
    sign_manifest(folder / "manifest.json", private_key).write_bytes(content)
    with pytest.raises(SignatureRefused):
        open_bundle(folder, signed=trusted.check)


def test_a_signature_of_another_key_is_refused_until_it_is_trusted_too(
    folder: Path, private_key: Path, tmp_path: Path, trusted: TrustedKeys
) -> None:
    other = make_keys(tmp_path / "other")
    sign_manifest(folder / "manifest.json", tmp_path / "other")
    with pytest.raises(SignatureRefused):
        open_bundle(folder, signed=trusted.check)
    both = tmp_path / "both.pem"
    both.write_bytes(b"# ours, then theirs\n" + Path(f"{private_key}.pub").read_bytes() + other.read_bytes())
    open_bundle(folder, signed=TrustedKeys.read(both).check)


def test_only_its_owner_reads_a_private_key_and_it_is_never_replaced(private_key: Path) -> None:
    assert private_key.stat().st_mode & 0o777 == 0o600
    before = private_key.read_bytes()
    with pytest.raises(SigningKeyInvalid, match=r"ours: cannot be created .*, expected a new file"):
        make_keys(private_key)
    assert private_key.read_bytes() == before


@pytest.mark.parametrize("algorithm", ["RSA", "ED448"])
def test_a_key_of_another_kind_is_refused(folder: Path, tmp_path: Path, algorithm: str) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    subprocess.run([openssl, "genpkey", "-algorithm", algorithm, "-out", private], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    with pytest.raises(SigningKeyInvalid, match="expected Ed25519"):
        sign_manifest(folder / "manifest.json", private)
    with pytest.raises(SigningKeyInvalid, match="expected Ed25519"):
        TrustedKeys.read(public)


def test_a_private_key_is_refused_as_a_public_one_and_never_quoted(private_key: Path) -> None:
    with pytest.raises(SigningKeyInvalid, match="holds no public key") as refused:
        TrustedKeys.read(private_key)
    assert private_key.read_text().splitlines()[1] not in str(refused.value)


def test_the_commands_make_keys_sign_and_verify(trained_store: Path, tmp_path: Path) -> None:
    store, private = tmp_path / "store", tmp_path / "signing"
    shutil.copytree(trained_store, store)

    def output_of(*arguments: object, status: int = 0) -> str:
        ended = CliRunner().invoke(bundles, [*map(str, arguments)])
        assert ended.exit_code == status, ended.output
        return ended.output.strip()

    public = output_of("keygen", private)
    assert public == f"{private}.pub"
    verify = ("verify", "--store", store, "--key", public)
    assert output_of(*verify, status=1).endswith("expected a signature; make it with: kshot bundles sign")
    assert output_of("sign", "--store", store, "--key", private).endswith("manifest.sig")
    assert ": signature, " in output_of(*verify)


class Pickled:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["golden.npz", "items.vectors.npy", "neighbours.rows.npy", "items.offsets.npy"])
def test_a_pickle_in_an_array_is_refused_and_never_run(folder: Path, tmp_path: Path, name: str) -> None:
    ran, path = tmp_path / "ran", folder / name
    array = np.array([Pickled(ran)], dtype=object)
    if name.endswith(".npz"):
        with np.load(path) as arrays:
            np.savez(path, **dict.fromkeys(arrays.files, array))
    else:
        np.save(path, array, allow_pickle=True)
    reseal(folder, name)
    with pytest.raises(BundleError, match=name):
        open_bundle(folder)
    assert not ran.exists()


def test_nothing_that_reads_bundles_can_unpickle() -> None:
    paths = [*(ROOT / "model_store/bundle").rglob("*.py"), *(ROOT / "service").rglob("*.py")]
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    assert not {"pickle", "marshal", "shelve", "dill", "joblib"} & {alias.name for alias in names}, path
                case ast.ImportFrom(module=module):
                    assert module not in {"pickle", "marshal", "shelve", "dill", "joblib"}, path
                case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr="load"), keywords=keywords):
                    allowed = [keyword.value for keyword in keywords if keyword.arg == "allow_pickle"]
                    assert [isinstance(value, ast.Constant) and value.value is False for value in allowed] == [True], (
                        path
                    )
                case _:
                    pass
