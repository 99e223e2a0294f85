"""Settings out of the environment: bounds, empty and blank variables, variables that Kubernetes sets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from running_service import KSHOT, complaint, kshot, running

from service.settings import Settings

GROUPS = [field.annotation for field in Settings.model_fields.values()]
EMPTY = {f"KSHOT_{name.upper()}": "" for group in GROUPS for name in group.model_fields} | {"KSHOT_STORE": ""}


def test_an_empty_variable_counts_as_unset(trained_store: Path, tmp_path: Path) -> None:
    """All of them at once; an empty data folder would mean the working directory."""
    with running(trained_store, tmp_path, env=EMPTY | {"KSHOT_STORE_TIMEOUT_MS": "5000"}) as service:
        assert service.like("ann", "g1-1")["accepted"] == 1


def test_with_an_empty_data_folder_users_are_stored_beside_the_bundles(store: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    command = [KSHOT, "serve", "--bundles", store, "--port", "0"]
    env = os.environ | {"KSHOT_DATA_DIR": ""}
    with subprocess.Popen(command, cwd=tmp_path / "elsewhere", env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("serving on ")
        process.terminate()
        assert process.wait(20) == 0
    assert (store / "users" / "appendonlydir").is_dir()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "flag",
    ["--bundles", "--redis", "--redis-prefix", "--data-dir", "--host", "--keys-file", "--root-path", "--durability"],
)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_flag_is_refused_by_name(tmp_path: Path, flag: str, value: str) -> None:
    ended = kshot("serve", "--bundles", tmp_path, flag, value, COLUMNS="200")
    assert ended.returncode == 2
    assert f"'{flag}': empty, expected a value, or no such flag for the default" in ended.stderr


@pytest.mark.parametrize("name", ["KSHOT_BUNDLES", "KSHOT_STORE"])
def test_a_blank_folder_of_bundles_is_refused(name: str) -> None:
    error = complaint(**{name: "  "})
    assert error.startswith(f"{name.removeprefix('KSHOT_').lower()} ({name}):   , expected a value, not blanks alone")


def test_the_former_name_of_the_folder_of_bundles_still_works(tmp_path: Path) -> None:
    for variables in ({"KSHOT_STORE": str(tmp_path)}, {"KSHOT_STORE": str(tmp_path), "KSHOT_BUNDLES": str(tmp_path)}):
        assert complaint(**variables).startswith(f"{tmp_path}: no live bundle")


def test_two_folders_of_bundles_are_refused(tmp_path: Path) -> None:
    error = complaint(KSHOT_BUNDLES="new", KSHOT_STORE="former")
    assert error == "KSHOT_BUNDLES new and KSHOT_STORE former: expected one of them; KSHOT_STORE is the former name"


@pytest.mark.parametrize("name", ["KSHOT_DATA_DIR", "KSHOT_KEYS_FILE", "KSHOT_REDIS_PASSWORD_FILE"])
def test_a_blank_variable_is_refused(trained_store: Path, name: str) -> None:
    error = complaint("--bundles", trained_store, **{name: "  "})
    assert error.startswith(f"{name.removeprefix('KSHOT_').lower()} ({name}):   , expected a value, not blanks alone")


def test_an_empty_keys_file_counts_as_unset_for_kshot_keys_too() -> None:
    ended = kshot("keys", "list", KSHOT_KEYS_FILE="", COLUMNS="200")
    assert (ended.returncode, "Missing option '--keys-file'" in ended.stderr) == (2, True)


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:8000", "udp://10.0.0.1:53", "tcp://[fd00::1]:80"])
def test_a_port_set_by_kubernetes_is_explained(trained_store: Path, link: str) -> None:
    error = complaint("--bundles", trained_store, KSHOT_PORT=link)
    assert error.startswith(f"port (KSHOT_PORT): {link}, expected a valid integer. Kubernetes sets KSHOT_PORT")
    assert "enableServiceLinks: false" in error


def test_a_variable_that_kubernetes_never_sets_is_refused_without_that_explanation(trained_store: Path) -> None:
    error = complaint("--bundles", trained_store, KSHOT_WORKERS="tcp://10.0.0.1:80")
    assert error == "workers (KSHOT_WORKERS): tcp://10.0.0.1:80, expected a valid integer"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("KSHOT_USER_TTL_DAYS", "inf", "less than or equal to 36500"),
        ("KSHOT_USER_TTL_DAYS", "1e9", "less than or equal to 36500"),
        ("KSHOT_USER_TTL_DAYS", "1e-9", "greater than or equal to 0.0001"),
        ("KSHOT_USER_TTL_DAYS", "nan", "less than or equal to 36500"),
        ("KSHOT_SERVED_TTL_S", "99999999999999999999", "less than or equal to 3153600000"),
    ],
)
def test_a_lifetime_that_stores_refuse_is_refused(trained_store: Path, name: str, value: str, expected: str) -> None:
    error = complaint("--bundles", trained_store, **{name: value})
    assert error == f"{name.removeprefix('KSHOT_').lower()} ({name}): {value}, expected {expected}"


def test_an_invalid_port_of_another_form_is_refused_without_that_explanation(trained_store: Path) -> None:
    assert "Kubernetes" not in complaint("--bundles", trained_store, KSHOT_PORT="eighty")
