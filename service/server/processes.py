"""The processes of one run: the workers, their supervisor, the embedded store, and the signals that end them."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.supervisors import Multiprocess

from model_store.bundle import Registry
from service.server.connections import ClientLimits, connections
from service.server.listening import AnnouncingServer, listening, url_of
from service.server.metrics_folder import VARIABLE as METRICS_VARIABLE
from service.server.metrics_folder import metrics_folder
from service.settings import EMBEDDED, Settings
from service.stores.embedded import EmbeddedStore

OTHER_DESCRIPTORS = 256  # for the bundle, the store, the log and libraries


class WorkerProcesses(Multiprocess):
    """Worker processes on one socket; a dead one is replaced, and removed from the metrics of the living."""

    _counted: frozenset[int | None] = frozenset()

    def keep_subprocess_alive(self) -> None:
        """Replace dead workers, and remove their gauges."""
        super().keep_subprocess_alive()
        alive = frozenset(process.pid for process in self.processes)
        for pid in self._counted - alive:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._counted = alive

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._counted = frozenset(process.pid for process in self.processes)


def serve(settings: Settings, application: str, check: Callable[[], None], announce: Callable[[str], None]) -> None:
    """Run the workers, and the embedded store if there is one, until a signal ends them.

    The workers read the settings from the environment, where the address of the embedded store is added.

    Args:
        settings: of this run.
        application: module and name of the function that makes the application, as "module:function".
        check: raises what would keep a worker from starting.
        announce: takes the address once it accepts requests.

    Raises:
        ModelStoreError: no bundle is live.
        ServiceError: the address, the metrics folder or the embedded store cannot be used, or a worker cannot start.
    """
    Registry(settings.model.bundles).live_folder()  # fails here with one clear line, before anything starts
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)
    with (
        _metrics_folder(settings) as metrics,
        listening(settings.edge.host, settings.edge.port) as sock,
        _user_store(settings),
    ):
        config = _config(settings, application)
        if settings.process.workers == 1:
            AnnouncingServer(config, lambda: announce(url_of(sock))).run([sock])
            return
        # An error in a worker's start ends the run here; the supervisor would restart the worker again and again.
        check()
        os.environ[METRICS_VARIABLE] = metrics  # read by the workers when they import the metrics
        announce(url_of(sock))
        WorkerProcesses(config, [sock]).run()


def _config(settings: Settings, application: str) -> uvicorn.Config:
    limits = ClientLimits(settings.limits.client_timeout_s, allowed_connections(settings.limits.max_connections))
    return uvicorn.Config(
        application,
        factory=True,
        http=connections(limits),
        workers=settings.process.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.process.shutdown_s,
    )


def _exit(_signal: int, _frame: FrameType | None) -> None:
    """Exit through the ``finally`` blocks; uvicorn calls this after the running requests have ended."""
    raise SystemExit(0)


def _metrics_folder(settings: Settings) -> AbstractContextManager[str]:
    """A folder that the workers share; a single worker needs none, but refuses one in the settings that is invalid."""
    folder = settings.process.metrics_dir
    return metrics_folder(folder) if settings.process.workers > 1 or folder is not None else nullcontext("")


@contextmanager
def _user_store(settings: Settings) -> Iterator[None]:
    """The embedded store if the settings ask for it, with its address in the environment for the workers."""
    if settings.store.redis != EMBEDDED:
        yield
        return
    store = EmbeddedStore.start(settings.store.data_dir or settings.model.bundles / "users")
    store.keep_running()
    os.environ["KSHOT_REDIS"] = store.url
    try:
        yield
    finally:
        store.stop()


def allowed_connections(requested: int) -> int:
    """``requested``, or as many as the limit on descriptors allows; raises this process's limit to its maximum."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return requested if hard == resource.RLIM_INFINITY else max(1, min(requested, hard - OTHER_DESCRIPTORS))


def follow_supervisor() -> None:
    """Stop this worker when its supervisor has died, even by SIGKILL, so that the port they share becomes free."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(supervisor.sentinel)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(supervisor.sentinel, stop)
