"""Makefile and .ci/run: one command makes the environment, one runs every check."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture
def make(root, tmp_path):
    """Run make on a copy of the Makefile, with a pyproject.toml and without a .venv."""
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(*arguments):
        command = ["make", f"PYTHON={sys.executable}", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def installed(make, tmp_path):
    """The mark of a finished setup, newer than the project file."""
    mark = tmp_path / ".venv" / ".installed-{}.{}".format(*sys.version_info[:2])
    mark.parent.mkdir()
    mark.touch()
    return mark


def test_ci_runs_what_a_developer_runs(root):
    script = root / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-2:] == [
        "make lint types imports bandit sbom",
        "exec make test",
    ]


def test_check_is_lint_types_imports_security_and_tests_in_this_order(make):
    planned = make("--dry-run", "check").stdout
    steps = ["pip", "ruff check .", "ruff format --check .", "bin/mypy", "bin/lint-imports"]
    steps += ["bin/bandit", "bin/cyclonedx-py", "-m pytest"]
    positions = [planned.find(step) for step in steps]
    assert -1 not in positions
    assert positions == sorted(positions)


@pytest.mark.usefixtures("installed")
def test_setup_does_nothing_when_it_is_up_to_date(make):
    assert make("--question", "setup").returncode == 0


def test_setup_installs_again_when_the_project_file_is_newer(make, installed):
    os.utime(installed, (0, 0))
    assert make("--question", "setup").returncode == 1


def test_setup_installs_again_for_another_python(make, installed):
    installed.rename(installed.with_name(".installed-3.10"))
    assert make("--question", "setup").returncode == 1


def test_setup_refuses_an_unsupported_python(make, tmp_path):
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\necho 3.9\n", encoding="utf-8")
    old.chmod(0o755)
    refused = make("setup", f"PYTHON={old}")
    assert refused.returncode != 0
    assert "'3.9', expected 3.11 to 3.13" in refused.stderr


def test_setup_names_the_package_of_virtual_environments(make, tmp_path):
    bare = tmp_path / "bare-python"
    bare.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *) echo 3.11;; esac\n', encoding="utf-8")
    bare.chmod(0o755)
    refused = make("setup", f"PYTHON={bare}")
    assert refused.returncode != 0
    assert "apt-get install python3.11-venv" in refused.stderr


def test_help_lists_every_public_target(make):
    listed = make().stdout
    assert all(
        f"make {target} " in listed for target in ("setup", "demo", "test", "check", "audit", "loadtest", "clean")
    )


CLEAN = {"name": "a", "version": "1", "vulns": []}
VULNERABLE = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("packages", "status", "message"),
    [
        ([CLEAN, UNKNOWN], 0, "advisories: 1 packages checked, 1 not, 0 findings"),
        ([CLEAN, VULNERABLE], 1, "b 2: PYSEC-1, mended in 3\nadvisories: 2 packages checked, 0 not, 1 findings"),
        ([UNKNOWN], 0, "advisories: the service could not be reached or knows no package, NOTHING was checked"),
        (None, 0, "advisories: the service could not be reached or knows no package, NOTHING was checked"),
    ],
)
def test_advisories_report_unchecked_packages(root, packages, status, message):
    listing = "" if packages is None else json.dumps({"dependencies": packages, "fixes": []})
    command = [sys.executable, root / ".ci/advisories.py"]
    finished = subprocess.run(command, input=listing, capture_output=True, text=True, check=False)
    assert (finished.returncode, (finished.stdout + finished.stderr).strip()) == (status, message)
