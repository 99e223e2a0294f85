"""docker-compose.yml agrees with files, images, commands and settings; no engine is needed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time

import pytest
import redis


def volumes(service):
    return [volume.split(":") for volume in service.get("volumes", [])]


def test_compose_file_follows_the_specification(root):
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*checker, root / "docker-compose.yml"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_mounted_path_exists(root, compose):
    mounted = [
        volume[0] for service in compose["services"].values() for volume in volumes(service) if volume[0][0] == "."
    ]
    assert mounted
    assert [path for path in mounted if not (root / path).exists()] == []


def test_every_volume_and_network_is_declared(compose):
    services = compose["services"].values()
    used = {volume[0] for service in services for volume in volumes(service) if volume[0][0] != "."}
    joined = {network for service in services for network in service.get("networks", [])}
    assert used == set(compose["volumes"])
    assert joined == set(compose["networks"])


def test_build_targets_and_arguments_are_those_of_the_dockerfile(compose, dockerfile):
    builds = [service["build"] for service in compose["services"].values() if "build" in service]
    assert {build["target"] for build in builds} == {"service", "train"}
    for build in builds:
        arguments = {value.partition("=")[0] for word, value in dockerfile[build["target"]] if word == "ARG"}
        assert set(build.get("args", {})) <= arguments


def test_training_command_and_its_flags_exist(compose, kshot_help):
    command, *arguments = compose["services"]["train"]["command"]
    flags = [argument for argument in arguments if argument.startswith("--")]
    assert flags == ["--data", "--bundles"]
    assert [flag for flag in flags if flag not in kshot_help(command)] == []


def test_training_writes_the_folder_that_the_service_mounts_read_only(compose):
    assert compose["services"]["train"]["volumes"] == ["bundles:/bundles"]
    assert "bundles:/bundles:ro" in compose["services"]["service"]["volumes"]


def test_every_kshot_variable_is_a_setting(compose, variables):
    names = [name for service in compose["services"].values() for name in service.get("environment", {})]
    settings = {name for name in names if name.startswith("KSHOT_")}
    assert settings
    assert settings <= variables


def test_the_service_reads_the_keys_file_of_the_commands(compose):
    service, keys = compose["services"]["service"], compose["services"]["keys"]
    assert service["environment"]["KSHOT_KEYS_FILE"] == keys["environment"]["KSHOT_KEYS_FILE"] == "/secrets/keys.json"
    assert "./deploy/secrets:/secrets:ro" in service["volumes"]
    assert keys["volumes"] == ["./deploy/secrets:/secrets"]
    assert keys["entrypoint"] == ["kshot", "keys"]


def test_new_keys_are_ignored_by_git(root):
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/secrets/keys.json", "deploy/secrets/metrics-key"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if ignored.returncode == 128:
        pytest.skip("not in a git repository")
    assert len(ignored.stdout.splitlines()) == 2


def test_store_address_names_the_store_service(compose):
    assert compose["services"]["service"]["environment"]["KSHOT_REDIS"] == "redis://redis:6379/0"
    shared = set(compose["services"]["service"]["networks"]) & set(compose["services"]["redis"]["networks"])
    assert shared == {"store"}
    assert compose["networks"]["store"]["internal"]


def test_nothing_is_published_beyond_loopback(compose):
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert set(published) == {"service", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_every_container_is_confined(compose):
    for name, service in compose["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_store_keeps_feedback_on_disk_and_evicts_nothing(compose, tmp_path):
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    socket = tmp_path / "s"
    arguments = compose["services"]["redis"]["command"][1:]
    command = [server, *arguments, "--port", "0", "--unixsocket", str(socket), "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            wait_until_up(client)
            settings = client.config_get("appendonly", "appendfsync", "maxmemory-policy")
    finally:
        process.terminate()
        process.wait(10)
    assert settings == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def wait_until_up(client):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.ConnectionError):
            return client.ping()
    raise AssertionError("the user store did not reply within 10 s")
