"""What the environment may hold by accident: empty variables, Kubernetes' links, prometheus-client's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from running_service import KSHOT, complaint, kshot, running

from service.settings import Settings

EMPTY = {f"KSHOT_{name.upper()}": "" for name in Settings.model_fields}


def test_empty_variables_are_unset_ones(trained_store: Path, tmp_path: Path) -> None:
    """All at once; of the data folder the working directory would be left."""
    with running(trained_store, tmp_path, env=EMPTY | {"KSHOT_STORE_TIMEOUT_MS": "5000"}) as service:
        assert service.like("ann", "g1-1")["accepted"] == 1


def test_an_empty_data_folder_keeps_users_beside_the_bundles(store: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    command = [KSHOT, "serve", "--store", store, "--port", "0"]
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
    ["--store", "--redis", "--redis-prefix", "--data-dir", "--host", "--keys-file", "--root-path", "--durability"],
)
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_flag_is_refused_by_name(tmp_path: Path, flag: str, value: str) -> None:
    ended = kshot("serve", "--store", tmp_path, flag, value, COLUMNS="200")
    assert ended.returncode == 2
    assert f"'{flag}': empty, expected a value, or no such flag for the default" in ended.stderr


@pytest.mark.parametrize("name", ["KSHOT_DATA_DIR", "KSHOT_KEYS_FILE", "KSHOT_REDIS_PASSWORD_FILE", "KSHOT_STORE"])
def test_a_variable_of_blanks_is_refused(trained_store: Path, name: str) -> None:
    told = complaint(**{"KSHOT_STORE": str(trained_store), name: "  "})
    assert told.startswith(f"{name.removeprefix('KSHOT_').lower()} ({name}):   , expected a value, not blanks alone")


def test_an_empty_keys_file_is_none_for_the_commands_that_make_keys_too() -> None:
    ended = kshot("keys", "list", KSHOT_KEYS_FILE="", COLUMNS="200")
    assert (ended.returncode, "Missing option '--keys-file'" in ended.stderr) == (2, True)


@pytest.mark.parametrize("link", ["tcp://10.0.0.1:8000", "udp://10.0.0.1:53", "tcp://[fd00::1]:80"])
def test_what_kubernetes_puts_into_the_port_is_explained(trained_store: Path, link: str) -> None:
    told = complaint("--store", trained_store, KSHOT_PORT=link)
    assert told.startswith(f"port (KSHOT_PORT): {link}, expected a valid integer. Kubernetes sets KSHOT_PORT")
    assert "enableServiceLinks: false" in told


def test_what_kubernetes_never_sets_is_not_blamed_on_it(trained_store: Path) -> None:
    told = complaint("--store", trained_store, KSHOT_WORKERS="tcp://10.0.0.1:80")
    assert told == "workers (KSHOT_WORKERS): tcp://10.0.0.1:80, expected a valid integer"


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
def test_a_life_that_no_store_takes_is_refused(trained_store: Path, name: str, value: str, expected: str) -> None:
    told = complaint("--store", trained_store, **{name: value})
    assert told == f"{name.removeprefix('KSHOT_').lower()} ({name}): {value}, expected {expected}"


def test_a_port_that_is_only_wrong_is_not_blamed_on_kubernetes(trained_store: Path) -> None:
    assert "Kubernetes" not in complaint("--store", trained_store, KSHOT_PORT="eighty")


def test_the_version_is_printed() -> None:
    ended = kshot("--version", PROMETHEUS_MULTIPROC_DIR="/nowhere")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"kshot {version('kshot')}\n", "")


VARIABLES = ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir", "KSHOT_METRICS_DIR"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("variable", VARIABLES)
def test_a_folder_for_metrics_that_cannot_be_one_is_named(
    trained_store: Path, tmp_path: Path, variable: str, workers: int
) -> None:
    (tmp_path / "file").touch()
    for folder, reason in ((tmp_path / "missing", "No such file"), (tmp_path / "file", "Not a directory")):
        told = complaint("--store", trained_store, "--port", 0, "--workers", workers, **{variable: str(folder)})
        assert told.startswith(f"metrics_dir (KSHOT_METRICS_DIR, or PROMETHEUS_MULTIPROC_DIR): {folder}, expected")
        assert reason in told


def leave_metrics_behind(folder: Path) -> None:
    """Let another process count 1,000 cold lists into ``folder``, and die."""
    program = 'from service import telemetry\ntelemetry.recommendations.labels("cold").inc(1000)'
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    assert list(folder.glob("counter_*.db"))


@pytest.mark.parametrize("variable", VARIABLES[:2])
def test_what_an_earlier_run_left_is_not_counted(trained_store: Path, tmp_path: Path, variable: str) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    leave_metrics_behind(folder)
    before = sorted(folder.iterdir())
    for run in ("first", "second"):
        # In one folder, so that the second run finds the store that the first one leaves behind, and stops it.
        with running(trained_store, tmp_path / "service", "--workers", 2, env={variable: str(folder)}) as service:
            service.recommend("ann")
            assert service.metrics()["kshot_recommendations_total", ("cold",)] == 1
            (own,) = set(folder.iterdir()) - set(before)
            assert own.name.startswith("kshot-metrics-")
            if run == "first":
                service.kill()  # so that it cannot tidy up: the next run must not count this either
                before = sorted(folder.iterdir())
            else:
                service.stop()
        assert sorted(folder.iterdir()) == before


def test_metrics_are_told_while_a_worker_is_starting(trained_store: Path, tmp_path: Path) -> None:
    """Its files are empty for a moment."""
    with running(trained_store, tmp_path, "--workers", 2, env={"KSHOT_METRICS_DIR": str(tmp_path)}) as service:
        (folder,) = tmp_path.glob("kshot-metrics-*")
        for kind in ("counter", "histogram", "gauge_livesum"):
            (folder / f"{kind}_99999.db").touch()
        service.recommend("ann")
        assert service.metrics()["kshot_recommendations_total", ("cold",)] == 1


@pytest.mark.parametrize("variable", VARIABLES[:2])
def test_an_empty_folder_for_metrics_is_none(trained_store: Path, tmp_path: Path, variable: str) -> None:
    with running(trained_store, tmp_path, env={variable: ""}) as service:
        service.recommend("ann")
        assert service.metrics()["kshot_recommendations_total", ("cold",)] == 1
