"""deploy/images: choice of the engine, pip configuration of a build, and error messages."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest
from debian_root import release_with
from pip_settings import local_paths, read_settings, write_settings
from programs import ImageError

# A fake engine: it records its arguments and fails at some commands.
ENGINE = """#!/bin/sh
echo "$0 $*" >> "$CALLS"
case "$1" in {refused}) exit 1;; esac
"""


@pytest.fixture
def engines(root, tmp_path):
    """Run a line of Python with build_images.py, on a machine with the named engines alone."""

    def run(line, **refused):
        for name, commands in refused.items():
            program = tmp_path / name
            program.write_text(ENGINE.format(refused=commands), encoding="utf-8")
            program.chmod(0o755)
        env = os.environ | {"PATH": str(tmp_path), "CALLS": str(tmp_path / "calls")}
        env |= {"PYTHONPATH": str(root / "deploy/images")}
        ended = subprocess.run([sys.executable, "-c", line], env=env, capture_output=True, text=True, check=False)
        calls = tmp_path / "calls"
        return ended, calls.read_text(encoding="utf-8").replace(f"{tmp_path}/", "") if calls.exists() else ""

    return run


@pytest.mark.parametrize(
    ("refused", "chosen"),
    [
        ({"docker": "none"}, "docker"),
        ({"docker": "info", "podman": "none"}, "podman"),
        ({"docker": "pull"}, "buildah"),
        ({}, "buildah"),
    ],
    ids=["docker", "no daemon", "no registry", "no engine"],
)
def test_chosen_engine_runs_and_reaches_the_registry(engines, refused, chosen):
    ended, _ = engines("import build_images; print(build_images.working_engine('3.12'))", **refused)
    assert ended.stdout.strip() == chosen, ended.stderr


def test_engine_builds_both_targets_under_the_names_of_the_compose_file(engines, compose):
    line = "import sys, build_images; sys.argv = ['', '--python', '3.13']; sys.exit(build_images.main())"
    ended, calls = engines(line, docker="none")
    assert ended.returncode == 0, ended.stderr
    for name in ("service", "train"):
        service = compose["services"][name]
        built = next(call for call in calls.splitlines() if f"--target {service['build']['target']} " in call)
        assert f"--tag {service['image']} " in built
        assert "--build-arg PYTHON=3.13" in built
        assert all(f"--build-arg {key}={value}" in built for key, value in service["build"].get("args", {}).items())


def test_failed_build_ends_with_a_message_without_traceback(engines):
    ended, _ = engines("import sys, build_images; sys.argv = ['']; sys.exit(build_images.main())", docker="build")
    assert ended.returncode == 1
    assert "ended with exit code 1, expected 0" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_absent_program_is_named_with_its_package(engines):
    ended, _ = engines("import programs; programs.require('buildah')")
    assert "buildah: not installed; as root on Debian: apt-get install buildah" in ended.stderr


def test_python_without_a_debian_release_is_refused():
    with pytest.raises(ImageError, match=r"3\.12: no Debian release has it, expected 3\.11 or 3\.13"):
        release_with("3.12")


def test_variables_win_over_files_and_only_settings_about_sources_are_kept():
    listing = (
        ":env:.find-links='/from/variable'\n:env:.no-input='1'\n"
        "global.find-links='/from/file'\nglobal.cert='/a.pem'\ninstall.user='true'\nuser.proxy='http://a=b'\n"
    )
    assert read_settings(listing) == {"find-links": "/from/variable", "cert": "/a.pem", "proxy": "http://a=b"}


def test_existing_paths_are_mounted_and_addresses_are_not(tmp_path):
    index, wheels = tmp_path / "an index/simple", tmp_path / "wheels"
    for folder in (index, wheels):
        folder.mkdir(parents=True)
    settings = {
        "extra-index-url": f"https://example.com/simple file://{index.parent}/simple".replace(" index", "%20index"),
        "find-links": f"{wheels}\n{tmp_path}/absent",
        "timeout": "180",
    }
    assert local_paths(settings) == [index, wheels]


def test_configuration_is_readable_by_its_owner_alone_and_by_pip(tmp_path):
    file = tmp_path / "pip.conf"
    settings = {"find-links": "/a\n/b", "index-url": "https://user:secret@example.com/simple"}
    write_settings(settings, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=bare | {"PIP_CONFIG_FILE": str(file)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    read = read_settings(listing)
    assert read["find-links"].split() == ["/a", "/b"]
    assert read["index-url"] == settings["index-url"]


def test_make_passes_its_variables_to_the_script(root):
    command = ["make", "--dry-run", "images", "ENGINE=buildah", "IMAGE_PYTHON=3.13", "TORCH_INDEX=https://a.example"]
    planned = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert "--engine buildah --python 3.13" in planned
    assert "--torch-index https://a.example" in planned
