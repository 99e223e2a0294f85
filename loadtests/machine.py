"""What a figure was made on: machine, commit, command."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort


def provenance() -> dict[str, Any]:
    """Machine, commit and command of this process, for the head of a result."""
    return {
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": platform.platform(),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "onnxruntime": ort.__version__,
        },
        "commit": _commit(),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
    }


def memory_mib(pid: int) -> dict[str, float]:
    """Resident memory of a process in MiB: all of it, and the part that is its own.

    The rest are pages of mapped files, which all workers share and the kernel takes back when it needs them.
    """
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "RssAnon"}:
            fields[name] = round(int(value.split()[0]) / 1024, 1)
    return {"resident": fields["VmRSS"], "own": fields["RssAnon"]}


def private_mib(pid: int) -> dict[str, float]:
    """Memory of a process in MiB that no other process shares, and its proportional share of the rest added.

    ``private`` is what the machine gets back when the process ends; mapped files that only one process has open count
    there too, so it is asked while several workers run.
    """
    fields: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) / 1024
    private = fields["Private_Clean"] + fields["Private_Dirty"]
    return {"private": round(private, 1), "proportional": round(fields["Pss"], 1)}


def children(pid: int) -> list[int]:
    """Processes that a process started and that still run."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(each) for each in text.split()]


def two_cores() -> tuple[int, int] | tuple[None, None]:
    """A core for the service and one for what drives it; none where there are not two."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - the developer's own git
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return described.stdout.strip() or "unknown"
