"""``kshot serve``: its options, and one line of error without any leftovers when it cannot start."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from running_service import complaint, kshot, running
from store_servers import PASSWORD, debian_redis, free_port

from model_store.bundle import Registry
from model_store.bundle.manifest import file_entry
from model_store.bundle.signature import make_keys, sign_manifest


def test_a_folder_without_a_bundle_is_refused_with_the_command_that_trains_one(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    error = complaint("--bundles", folder)
    assert error.startswith(f"{folder}: no live bundle; train one with: kshot train ")
    assert not folder.exists()


def test_the_former_name_of_the_folder_of_bundles_still_works(tmp_path: Path) -> None:
    for options in (("--store", tmp_path), ("--store", tmp_path, "--bundles", tmp_path)):
        assert complaint(*options).startswith(f"{tmp_path}: no live bundle")


@pytest.mark.parametrize("option", ["--bundles", "--store"])
@pytest.mark.parametrize("variable", ["KSHOT_BUNDLES", "KSHOT_STORE"])
def test_the_option_takes_precedence_over_the_environment(tmp_path: Path, option: str, variable: str) -> None:
    assert complaint(option, tmp_path, **{variable: "elsewhere"}).startswith(f"{tmp_path}: no live bundle")


def test_two_folders_of_bundles_are_refused() -> None:
    error = complaint("--bundles", "new", "--store", "former")
    assert error == "--bundles new and --store former: expected one of them; --store is the former name"


@pytest.mark.parametrize(
    ("flag", "value", "error"),
    [
        ("--port", 99999, "port (KSHOT_PORT): 99999, expected less than or equal to 65535"),
        ("--workers", 0, "workers (KSHOT_WORKERS): 0, expected greater than or equal to 1"),
    ],
)
def test_a_setting_out_of_bounds_is_named(trained_store: Path, flag: str, value: int, error: str) -> None:
    assert complaint("--bundles", trained_store, flag, value) == error


def test_an_invalid_environment_variable_is_named(trained_store: Path) -> None:
    error = complaint("--bundles", trained_store, KSHOT_LOG_LEVEL="loud")
    assert error == "log_level (KSHOT_LOG_LEVEL): loud, expected 'debug', 'info', 'warning' or 'error'"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_address_of_another_scheme_is_refused_without_its_password(trained_store: Path, workers: int) -> None:
    error = complaint("--bundles", trained_store, "--port", 0, "--workers", workers, KSHOT_REDIS="http://:s3cret@here")
    assert "expected redis://, rediss:// or unix://" in error
    assert "s3cret" not in error


def test_an_absent_password_file_is_named(trained_store: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    error = complaint(
        "--bundles", trained_store, "--port", 0, "--redis", "redis://127.0.0.1", KSHOT_REDIS_PASSWORD_FILE=absent
    )
    assert error.startswith(f"redis_password_file: {absent}, expected a text file with the password")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_that_cannot_keep_the_durability_promise_is_refused(
    trained_store: Path, tmp_path: Path, workers: int
) -> None:
    port = free_port()
    with debian_redis(tmp_path, port, "--port", str(port)):
        url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        error = complaint("--bundles", trained_store, "--port", 0, "--workers", workers, KSHOT_REDIS=url)
    assert error.startswith("durability: durable, but the user store refuses WAITAOF")
    assert error.endswith("or --durability fast, which may lose the last second of feedback")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_that_evicts_is_refused_even_with_fast_durability(
    trained_store: Path, tmp_path: Path, workers: int
) -> None:
    port = free_port()
    evicting = ("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")
    with debian_redis(tmp_path, port, "--port", str(port), *evicting):
        url = f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
        flags = ("--port", 0, "--workers", workers, "--durability", "fast")
        error = complaint("--bundles", trained_store, *flags, KSHOT_REDIS=url)
    assert error.startswith("the user store has maxmemory-policy volatile-lru, so it drops acknowledged users")
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in error


def test_replicated_durability_is_refused_for_the_embedded_store(trained_store: Path) -> None:
    error = complaint("--bundles", trained_store, "--durability", "replicated")
    assert error.startswith("durability (KSHOT_DURABILITY): replicated, expected the redis (KSHOT_REDIS) of a primary")


def test_an_unknown_durability_is_named(trained_store: Path) -> None:
    error = complaint("--bundles", trained_store, "--durability", "often")
    assert error == "durability (KSHOT_DURABILITY): often, expected 'durable', 'replicated' or 'fast'"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_named_and_no_store_is_started(trained_store: Path, tmp_path: Path, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = occupied.getsockname()[1]
        error = complaint(
            "--bundles", trained_store, "--data-dir", tmp_path / "users", "--port", port, "--workers", workers
        )
    assert error.startswith(f"127.0.0.1 port {port}: Address already in use, expected a free port")
    assert not (tmp_path / "users").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_live_bundle_is_refused_with_the_file_and_both_hashes(
    store: Path, tmp_path: Path, workers: int
) -> None:
    path = Registry(store).live_folder() / "adapt.onnx"
    expected = file_entry(path).sha256
    path.write_bytes(path.read_bytes()[:-1])
    error = complaint("--bundles", store, "--data-dir", tmp_path / "users", "--port", 0, "--workers", workers)
    assert all(part in error for part in (str(path), expected, file_entry(path).sha256))
    assert not (tmp_path / "users" / "store.sock").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "a.name.example"])
def test_a_service_beyond_this_machine_requires_keys_or_the_option_open(trained_store: Path, host: str) -> None:
    error = complaint("--bundles", trained_store, "--port", 0, KSHOT_HOST=host)
    assert error.startswith(f"host: {host} can be reached from beyond this machine, expected a keys_file")
    assert error.endswith("or --open (KSHOT_OPEN=true) to admit all clients")


def test_the_option_open_admits_all_clients(trained_store: Path, tmp_path: Path) -> None:
    with running(trained_store, tmp_path, "--host", "0.0.0.0", "--open") as service:
        assert service.client.get("/recommend?user_id=ann").status_code == 200


def test_a_keys_file_lets_a_service_listen_beyond_this_machine(trained_store: Path, tmp_path: Path) -> None:
    made = kshot("keys", "new", "--scope", "read", "--keys-file", tmp_path / "keys.json")
    with running(trained_store, tmp_path, "--host", "0.0.0.0", "--keys-file", tmp_path / "keys.json") as service:
        assert service.client.get("/recommend?user_id=ann").status_code == 401
        service.client.headers["Authorization"] = f"Bearer {made.stdout.strip()}"
        assert service.client.get("/recommend?user_id=ann").status_code == 200


def test_an_absent_keys_file_is_named(trained_store: Path, tmp_path: Path) -> None:
    error = complaint("--bundles", trained_store, "--port", 0, "--keys-file", tmp_path / "absent")
    assert error.startswith(f"keys file {tmp_path / 'absent'}: cannot be read (No such file or directory)")


def test_a_rate_for_keys_without_keys_is_refused(trained_store: Path) -> None:
    error = complaint("--bundles", trained_store, KSHOT_KEY_RATE="5/second")
    assert error == "key_rate (KSHOT_KEY_RATE): 5/second, expected keys_file beside it"


@pytest.mark.parametrize("address", ["redis://:s3cret@here", "unix:///here?password=s3cret"])
def test_a_password_on_the_command_line_is_refused(trained_store: Path, address: str) -> None:
    error = complaint("--bundles", trained_store, "--redis", address)
    assert error.startswith("--redis: an address with a password or user, expected one without; set KSHOT_REDIS")
    assert "s3cret" not in error


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unsigned_bundle_is_refused_where_a_signature_is_required(
    trained_store: Path, tmp_path: Path, workers: int
) -> None:
    flags = ("--bundles", trained_store, "--require-signature", make_keys(tmp_path / "signing"), "--workers", workers)
    error = complaint(*flags, "--port", 0, "--data-dir", tmp_path / "users")
    assert error.endswith("expected a signature; make it with: kshot bundles sign")


def test_a_signed_bundle_is_served_where_a_signature_is_required(store: Path, tmp_path: Path) -> None:
    public = make_keys(tmp_path / "signing")
    sign_manifest(Registry(store).live_folder() / "manifest.json", tmp_path / "signing")
    with running(store, tmp_path, "--require-signature", public) as service:
        assert service.client.get("/recommend?user_id=ann").status_code == 200
