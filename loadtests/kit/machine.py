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


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children, the workers, have used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(cpu_seconds, children(pid)))


def shares_mib(pid: int) -> dict[str, float]:
    """What a process has of the machine's memory in MiB (PSS), a page of several processes divided among them.

    ``own`` is what it allocated, ``mapped`` its share of mapped files, which the kernel takes back when it needs them.
    """
    fields: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) / 1024
    return {"own": round(fields["Pss_Anon"], 1), "mapped": round(fields["Pss_File"], 1)}


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
