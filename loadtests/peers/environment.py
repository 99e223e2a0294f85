"""A virtual environment per peer, kept between runs in the user's cache."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.kit.cli import progress
from loadtests.peers.peer import PeerError

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kshot-peers"
SHOWN_OUTPUT = 600  # characters of a failed command's output


@dataclass(frozen=True)
class Environment:
    """An existing environment.

    Attributes:
        folder: root of the environment.
    """

    folder: Path

    def program(self, name: str) -> str:
        """Path of a command of the environment, e.g. "python"."""
        return str(self.folder / "bin" / name)

    def run(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run a command and return its standard output; raises PeerError."""
        command = [self.program(name), *arguments]
        finished = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, check=False, env=os.environ | dict(env or {})
        )
        if finished.returncode != 0:
            output = (finished.stdout + finished.stderr).strip()[-SHOWN_OUTPUT:]
            raise PeerError(f"{' '.join(command)}: status {finished.returncode}: {output}")
        return finished.stdout


def environment(name: str, *steps: Sequence[str], cache: Path = CACHE) -> Environment:
    """The environment ``name``; if absent, it is made with one ``pip install`` per step.

    Raises:
        PeerError: a step failed; the message has the end of pip's output.
    """
    cached = Environment(cache / name)
    done = cached.folder / "steps"
    expected = "\n".join(" ".join(step) for step in steps)
    if done.exists() and done.read_text(encoding="utf-8") == expected:
        return cached
    progress(f"making {cached.folder}")
    venv.create(cached.folder, clear=True, with_pip=True)
    for step in steps:
        cached.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step)
    done.write_text(expected, encoding="utf-8")
    return cached
