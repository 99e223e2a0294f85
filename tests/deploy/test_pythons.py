"""check_pythons.py installs and runs the requirements of the service's tests, without torch."""

from __future__ import annotations

import re

import pytest
from check_pythons import NEEDS_TORCH, TEST_PACKAGES, VERSIONS, Installation, check, local_python
from check_pythons import test_requirements as requirements

# Modules that a Python without torch cannot import.
HEAVY = re.compile(r"^(?:from|import) (?:torch|scipy|onnx|model_store(?!\.(?:bundle|errors)\b))\b", re.MULTILINE)


def test_versions_are_those_that_the_project_is_for(root):
    classifiers = re.findall(r"Python :: (3\.\d+)", (root / "pyproject.toml").read_text(encoding="utf-8"))
    assert list(VERSIONS) == classifiers


def test_packages_of_the_tests_have_the_project_s_requirements():
    names = {re.split(r"[\[<>=]", row)[0] for row in requirements()}
    assert names == set(TEST_PACKAGES)
    assert all(">=" in row for row in requirements())


def test_ignored_tests_are_those_that_need_torch(root):
    needing = [
        path for path in (root / "tests/service").rglob("*.py") if HEAVY.search(path.read_text(encoding="utf-8"))
    ]
    assert sorted(str(path.relative_to(root)) for path in needing) == sorted(NEEDS_TORCH)


def test_a_program_of_another_version_is_not_used(tmp_path, monkeypatch):
    program = tmp_path / "versions/3.12.0/bin/python3"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho 3.9\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert local_python("3.12") != str(program)
    program.write_text("#!/bin/sh\necho 3.12\n", encoding="utf-8")
    assert local_python("3.12") is not None


def test_a_python_in_a_root_runs_there_with_mounted_paths(tmp_path):
    installation = Installation(
        "python3", "a root", tmp_path / "root/kshot", tmp_path / "root", {tmp_path / "a b": "/etc/pip.conf"}
    )
    script = installation.command("python3", "-V")[-1]
    assert f"mount --rbind '{tmp_path}/a b' {tmp_path}/root/etc/pip.conf" in script
    assert script.endswith("python3 -V")
    assert "--chdir=/kshot" in script


@pytest.mark.skipif(local_python("3.14") is not None, reason="this machine has Python 3.14")
def test_an_absent_python_is_reported_without_failure(capsys):
    assert check("3.14") == 0
    assert capsys.readouterr().out == (
        "3.14: NOT CHECKED, no Debian release has it, and this machine has no python3.14\n"
    )
