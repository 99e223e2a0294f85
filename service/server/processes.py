"""The processes that answer, and what the operating system allows them."""

from __future__ import annotations

import resource

from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

OWN_DESCRIPTORS = 256  # bundle, store, log and whatever libraries open


class WorkerProcesses(Multiprocess):
    """Worker processes on one socket; one that dies is replaced, and its gauges die with it."""

    _known: frozenset[int | None] = frozenset()

    def keep_subprocess_alive(self) -> None:
        """Replace the dead, and take their values out of the metrics that count the living."""
        super().keep_subprocess_alive()
        alive = frozenset(process.pid for process in self.processes)
        for pid in self._known - alive:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._known = alive

    def init_processes(self) -> None:
        """Start them."""
        super().init_processes()
        self._known = frozenset(process.pid for process in self.processes)


def allowed_connections(wanted: int) -> int:
    """``wanted``, or as many as there can be descriptors; raises this process's limit as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - OWN_DESCRIPTORS))
