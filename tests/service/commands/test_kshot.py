"""The ``kshot`` command itself."""

from __future__ import annotations

from importlib.metadata import version

from running_service import kshot


def test_the_commands_of_both_packages_are_listed() -> None:
    listed = kshot("--help").stdout
    assert all(command in listed for command in ("demo", "serve", "keys", "train", "evaluate", "bundles"))


def test_the_version_is_printed() -> None:
    ended = kshot("--version", PROMETHEUS_MULTIPROC_DIR="/nowhere")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"kshot {version('kshot')}\n", "")
