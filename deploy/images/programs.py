"""Programs that build and run images, installed with apt-get if they are absent and that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PACKAGE_OF = {
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "runc": "runc",
    "tini-static": "tini",
}
# With the folders of root's programs, which a user's PATH lacks.
SEARCHED = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
SHOWN_LINES = 30
# RUNLEVEL=1 keeps packages from starting their services.
APT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


class ImageError(Exception):
    """Images cannot be built, measured or run here; the message says what to do."""


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end and return its standard output.

    Raises:
        ImageError: the program is absent, or exits with another code than 0.
    """
    words = [str(word) for word in command]
    try:
        finished = subprocess.run(  # noqa: S603 - our own arguments, no shell
            words, env=os.environ | {"PATH": SEARCHED} | dict(env or {}), capture_output=True, text=True, check=False
        )
    except FileNotFoundError as absent:
        raise ImageError(f"{words[0]} is not installed; install it and try again") from absent
    if finished.returncode:
        last = "\n".join((finished.stdout + finished.stderr).splitlines()[-SHOWN_LINES:])
        raise ImageError(f"'{' '.join(words)}' ended with exit code {finished.returncode}, expected 0:\n{last}")
    return finished.stdout


def run_visibly(command: Sequence[str | Path]) -> None:
    """Run a program to its end; all that it prints goes to standard error.

    Raises:
        ImageError: the program exits with another code than 0.
    """
    words = [str(word) for word in command]
    env = os.environ | {"PATH": SEARCHED}
    sys.stderr.flush()
    code = subprocess.run(words, env=env, stdout=sys.stderr, check=False).returncode  # noqa: S603 - our own arguments
    if code:
        raise ImageError(f"'{' '.join(words)}' ended with exit code {code}, expected 0: see its output above")


def find(program: str) -> str | None:
    """Path of a program; None if it is absent."""
    return shutil.which(program, path=SEARCHED)


def succeeds(command: Sequence[str]) -> bool:
    """Report whether a program exists and exits with code 0."""
    try:
        run(command)
    except ImageError:
        return False
    return True


def require(*programs: str) -> None:
    """Install the absent ones of ``programs``, which are keys of `PACKAGE_OF`.

    Raises:
        ImageError: a program is absent, and the user is not root on Debian.
    """
    absent = [program for program in programs if find(program) is None]
    if not absent:
        return
    packages = " ".join(PACKAGE_OF[program] for program in absent)
    if os.geteuid() != 0 or find("apt-get") is None:
        raise ImageError(f"{', '.join(absent)}: not installed; as root on Debian: apt-get install {packages}")
    say(f"installing {packages}")
    run(["apt-get", "-qq", "update"], env=APT)
    run(["apt-get", "-qq", "install", "--no-install-recommends", *packages.split()], env=APT)


def require_root(purpose: str) -> None:
    """Check that the user is root.

    Raises:
        ImageError: the user is not root.
    """
    if os.geteuid() != 0:
        raise ImageError(f"{purpose} needs root; run it with sudo, or on a machine with Docker or Podman")


def say(text: str) -> None:
    """Print progress to standard error, apart from results."""
    print(text, file=sys.stderr, flush=True)
