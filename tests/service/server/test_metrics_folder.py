"""The folder of the workers' metrics: its variables, files of earlier runs, files of starting workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_service import complaint, running

VARIABLES = ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir", "KSHOT_METRICS_DIR"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("variable", VARIABLES)
def test_an_unusable_metrics_folder_is_named(trained_store: Path, tmp_path: Path, variable: str, workers: int) -> None:
    (tmp_path / "file").touch()
    for folder, reason in ((tmp_path / "missing", "No such file"), (tmp_path / "file", "Not a directory")):
        error = complaint("--bundles", trained_store, "--port", 0, "--workers", workers, **{variable: str(folder)})
        assert error.startswith(f"metrics_dir (KSHOT_METRICS_DIR, or PROMETHEUS_MULTIPROC_DIR): {folder}, expected")
        assert reason in error


def leave_metrics_behind(folder: Path) -> None:
    """Count 1,000 cold lists in another process that leaves its files in ``folder``."""
    program = 'from service import telemetry\ntelemetry.recommendations.labels("cold").inc(1000)'
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    assert list(folder.glob("counter_*.db"))


@pytest.mark.parametrize("variable", VARIABLES[:2])
def test_metrics_of_an_earlier_run_are_not_counted(trained_store: Path, tmp_path: Path, variable: str) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    leave_metrics_behind(folder)
    before = sorted(folder.iterdir())
    for run in ("first", "second"):
        # In one folder, so that the second run stops the store that the first run does not stop.
        with running(trained_store, tmp_path / "service", "--workers", 2, env={variable: str(folder)}) as service:
            service.recommend("ann")
            assert service.metrics()["kshot_recommendations_total", ("cold",)] == 1
            (created,) = set(folder.iterdir()) - set(before)
            assert created.name.startswith("kshot-metrics-")
            if run == "first":
                service.kill()  # without any cleanup; the next run must not count these metrics either
                before = sorted(folder.iterdir())
            else:
                service.stop()
        assert sorted(folder.iterdir()) == before


def test_metrics_can_be_read_while_a_worker_is_starting(trained_store: Path, tmp_path: Path) -> None:
    """Its files are empty at first."""
    with running(trained_store, tmp_path, "--workers", 2, env={"KSHOT_METRICS_DIR": str(tmp_path)}) as service:
        (folder,) = tmp_path.glob("kshot-metrics-*")
        for kind in ("counter", "histogram", "gauge_livesum"):
            (folder / f"{kind}_99999.db").touch()
        service.recommend("ann")
        assert service.metrics()["kshot_recommendations_total", ("cold",)] == 1


@pytest.mark.parametrize("variable", VARIABLES[:2])
def test_an_empty_variable_means_no_folder(trained_store: Path, tmp_path: Path, variable: str) -> None:
    with running(trained_store, tmp_path, env={variable: ""}) as service:
        service.recommend("ann")
        assert service.metrics()["kshot_recommendations_total", ("cold",)] == 1
