"""A virtual environment a peer, kept between runs in the user's cache."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.peers.peer import PeerError

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kshot-peers"
SHOWN = 600


@dataclass(frozen=True)
class Environment:
    """An environment that is there.

    Attributes:
        folder: the environment's own.
    """

    folder: Path

    def program(self, name: str) -> str:
        """Path of a command that the environment brings, e.g. "python"."""
        return str(self.folder / "bin" / name)

    def run(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run one of its commands to the end and return what it printed; raises PeerError."""
        command = [self.program(name), *arguments]
        finished = subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, check=False, env=os.environ | dict(env or {})
        )
        if finished.returncode != 0:
            said = (finished.stdout + finished.stderr).strip()[-SHOWN:]
            raise PeerError(f"{' '.join(command)}: status {finished.returncode}: {said}")
        return finished.stdout


def environment(name: str, *steps: Sequence[str]) -> Environment:
    """The environment ``name``, made by one ``pip install`` a step if it is not there yet.

    Raises:
        PeerError: a step failed; the message has the end of what pip said.
    """
    made = Environment(CACHE / name)
    done = made.folder / "steps"
    wanted = "\n".join(" ".join(step) for step in steps)
    if done.exists() and done.read_text(encoding="utf-8") == wanted:
        return made
    print(f"making {made.folder}", file=sys.stderr)
    venv.create(made.folder, clear=True, with_pip=True)
    for step in steps:
        made.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step)
    done.write_text(wanted, encoding="utf-8")
    return made
