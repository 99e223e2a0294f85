"""Machine, commit and command of a measurement; memory and CPU time of processes (Linux)."""

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
    """Resident memory of a process in MiB: ``resident`` is all of it, ``allocated`` the anonymous part.

    The rest are pages of mapped files. All workers share them, and the kernel can drop them at any time.
    """
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "RssAnon"}:
            fields[name] = round(int(value.split()[0]) / 1024, 1)
    return {"resident": fields["VmRSS"], "allocated": fields["RssAnon"]}


def proportional_memory_mib(pid: int) -> dict[str, float]:
    """Proportional memory (PSS) of a process in MiB: a page of several processes is divided among them.

    ``allocated`` is the anonymous part, ``mapped`` the process's share of mapped files.
    """
    fields: dict[str, float] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) / 1024
    return {"allocated": round(fields["Pss_Anon"], 1), "mapped": round(fields["Pss_File"], 1)}


def cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children, the workers, have used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, children(pid)))


def children(pid: int) -> list[int]:
    """Running processes that a process started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def two_cores() -> tuple[int, int] | tuple[None, None]:
    """One core for the service and one for the load; (None, None) on a machine with a single core."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def pin(core: int | None) -> None:
    """Keep this process, and children that it starts later, on one core; None leaves it unpinned."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    finished = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607 - the developer's own git
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return finished.stdout.strip() or "unknown"
