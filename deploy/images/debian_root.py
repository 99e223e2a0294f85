"""Root folders of Debian releases, made by debootstrap and kept between runs."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from programs import ImageError, require, require_root, run, say

# Debian releases by their Python.
RELEASES = {"3.11": "bookworm", "3.13": "trixie"}
PYTHON_PACKAGES = ("ca-certificates", "python3", "python3-venv")
# Debian's slim images lack these folders too.
UNNEEDED = ("usr/share/info", "usr/share/locale", "usr/share/man", "var/cache/apt", "var/lib/apt/lists", "var/log")


def release_with(python: str) -> str:
    """Debian release with ``python``, such as "3.11".

    Raises:
        ImageError: no release that debootstrap makes has it.
    """
    if python not in RELEASES:
        expected = " or ".join(RELEASES)
        raise ImageError(
            f"Python {python}: no Debian release has it, expected {expected}; choose one, or use a registry"
        )
    return RELEASES[python]


def make_root(release: str, packages: Sequence[str], folder: Path) -> Path:
    """Make a minimal root of ``release`` with ``packages`` in ``folder``, or reuse an equal one.

    Raises:
        ImageError: not root, debootstrap is absent and cannot be installed, or it failed.
    """
    mark, content = folder.with_name(folder.name + ".made"), f"{release}: {' '.join(packages)}\n"
    if mark.is_file() and mark.read_text(encoding="utf-8") == content:
        return folder
    require_root("debootstrap")
    require("debootstrap")
    mark.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    say(f"debootstrap: Debian {release} with {', '.join(packages)}; takes a minute, once")
    run(["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", release, folder])
    remove_unneeded(folder)
    mark.write_text(content, encoding="utf-8")
    return folder


def make_python_root(python: str, folder: Path) -> Path:
    """Make a root with ``python`` and ``pip`` in /usr/local/bin, as in the official Python images.

    Debian's own pip refuses to install beside Debian's packages, so /usr/local is a virtual environment.

    Raises:
        ImageError: see `make_root` and `release_with`.
    """
    root = make_root(release_with(python), PYTHON_PACKAGES, folder)
    if not (root / "usr/local/pyvenv.cfg").is_file():
        run(["chroot", root, "python3", "-m", "venv", "/usr/local"])
    return root


def remove_unneeded(root: Path) -> None:
    """Delete caches, translations and manuals; licences stay."""
    for name in UNNEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True)
    for folder, _, files in os.walk(root / "usr/share/doc", topdown=False):
        for file in files:
            if not file.startswith("copyright"):
                (Path(folder) / file).unlink()
        with contextlib.suppress(OSError):  # a folder that holds a licence stays
            Path(folder).rmdir()
