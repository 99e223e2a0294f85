"""The pip configuration of this machine for a build: sources of packages, and trusted certificates.

It is mounted during the build and never becomes part of an image.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from programs import run

# Settings about the sources of packages and their download.
CARRIED: tuple[str, ...] = (
    "cert",
    "constraint",
    "extra-index-url",
    "find-links",
    "index-url",
    "no-index",
    "proxy",
    "trusted-host",
)
CARRIED += ("default-timeout", "timeout", "retries")
# Settings with one or several paths as value.
PATHS = {"cert", "constraint", "extra-index-url", "find-links", "index-url"}
TARGET = "/etc/pip.conf"

Mounts = dict[Path, str]


def read_settings(listing: str) -> dict[str, str]:
    """Settings from the lines of ``pip config list``, such as ``global.cert='/a.pem'``; variables win over files."""
    pairs = [line.split("=", 1) for line in listing.splitlines() if "=" in line]
    rows = [(*name.rsplit(".", 1), ast.literal_eval(value)) for name, value in pairs]
    ordered = [row for row in rows if row[0] != ":env:"] + [row for row in rows if row[0] == ":env:"]
    return {name: value for _, name, value in ordered if name in CARRIED}


def local_paths(settings: Mapping[str, str]) -> list[Path]:
    """Existing files and folders of this machine in ``settings``."""
    words = [word for name in sorted(PATHS & settings.keys()) for word in settings[name].split()]
    paths = [Path(unquote(urlsplit(word).path)) for word in words if re.match(r"file://|/", word)]
    return [path for path in dict.fromkeys(paths) if path.exists()]


def outermost(path: Path) -> Path:
    """Folder to mount for ``path``; for an index its parent, because package files can be beside the index."""
    return path.parent if path.is_dir() and path.name == "simple" else path


def write_settings(settings: Mapping[str, str], file: Path) -> None:
    """Write a pip.conf that only its owner can read, because an address can contain a password."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    lines = [f"{name} = {value.replace(chr(10), chr(10) + '  ')}" for name, value in sorted(settings.items())]
    file.write_text("\n".join(["[global]", *lines, ""]), encoding="utf-8")


def mounts_for_build(python: str, file: Path) -> Mounts:
    """Paths of this machine → paths in a build; ``file`` becomes the build's pip.conf.

    Raises:
        ImageError: ``python`` has no pip.
    """
    settings = read_settings(run([python, "-m", "pip", "config", "list"]))
    if not settings:
        return {}
    write_settings(settings, file)
    return {file: TARGET} | {path: str(path) for path in map(outermost, local_paths(settings))}
