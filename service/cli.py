"""The ``kshot`` command, and the service's own subcommands: ``kshot serve``, ``kshot demo``."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn

from model_store.bundle import Catalogue, Registry
from model_store.errors import ModelStoreError
from service.errors import CannotListen, ServiceError
from service.settings import EMBEDDED, Settings, read_settings
from service.telemetry import MULTIPROCESS_VARIABLE

DEMO_SOURCE = "demo:movies"
DEMO_STORE = Path(".kshot/store")
APPLICATION = "service.main:create_app"

Store = Annotated[Path | None, typer.Option(help="Folder of the bundles.")]
Redis = Annotated[str | None, typer.Option(help='Address of the user store, or "embedded" to run one.')]
DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded store's data; STORE/users if absent.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
Workers = Annotated[int | None, typer.Option(help="Processes that share the port.")]


def main() -> None:
    """Run ``kshot`` with the subcommands that the installed packages bring."""
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
    for command in sorted(entry_points(group="kshot.commands")):
        loaded = command.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=command.name)
        else:
            app.command(command.name)(loaded)
    app(prog_name="kshot")


def _clear_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Print what is raised on purpose as one line, and leave with 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except (ServiceError, ModelStoreError) as exc:
            typer.echo(f"error: {exc}", err=True)
            raise typer.Exit(1) from exc

    return run


@_clear_errors
def serve(
    store: Store = None,
    redis: Redis = None,
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    workers: Workers = None,
) -> None:
    """Serve the live bundle of STORE. What is not given comes from KSHOT_… variables, then from defaults."""
    given = {
        "store": store,
        "redis": redis,
        "data_dir": data_dir,
        "host": host,
        "port": port,
        "workers": workers,
    }
    _serve(_settings(given), announce=lambda address: typer.echo(f"serving on {address}"))


@_clear_errors
def demo(port: Port = None, data_dir: DataDir = None) -> None:
    """Train on the demo data if there is no bundle yet, serve it, and print what to try."""
    settings = _settings({"store": DEMO_STORE, "port": port, "data_dir": data_dir})
    registry = Registry(settings.store)
    try:
        registry.live()
    except ModelStoreError:
        # Another process, so that torch leaves the memory with it.
        train = [sys.argv[0], "train", "--data", DEMO_SOURCE, "--store", str(settings.store)]
        if subprocess.run(train, stdout=subprocess.DEVNULL, check=False).returncode:  # noqa: S603 - our own command
            raise typer.Exit(1) from None
    _serve(settings, announce=lambda address: typer.echo(_things_to_try(address, registry)))


def _settings(given: dict[str, Any]) -> Settings:
    """Settings from flags over environment; the environment is set too, since workers read theirs from it."""
    os.environ |= {f"KSHOT_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    return read_settings()


def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the workers until they are told to stop, and the embedded store as long as they run."""
    Registry(settings.store).live_folder()  # refused here with one clear line, before anything starts
    for stopping in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stopping, _leave)
    with _listening(settings) as sock, _user_store(settings):
        config = uvicorn.Config(
            APPLICATION,
            factory=True,
            workers=settings.workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_s,
        )
        host, port = sock.getsockname()[:2]
        _run(config, sock, lambda: announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"))


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End by unwinding, so that what was started stops too; uvicorn calls this when it has drained its requests."""
    raise SystemExit(0)


def _run(config: uvicorn.Config, sock: socket.socket, announce: Callable[[], None]) -> None:
    if config.workers == 1:
        _Announcing(config, announce).run([sock])
        return
    from service.main import try_parts

    # What keeps a worker from starting ends us here; the supervisor would start it again and again.
    try_parts()
    with tempfile.TemporaryDirectory(prefix="kshot-metrics-") as folder:
        os.environ[MULTIPROCESS_VARIABLE] = folder  # the workers read it when they import the metrics
        announce()
        uvicorn.supervisors.Multiprocess(config, [sock]).run()


class _Announcing(uvicorn.Server):
    """Says where it listens as soon as it does."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket on the address of the settings; raises CannotListen."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        sock = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as exc:
        reason = str(exc.strerror).partition(" (")[0]  # newer Pythons repeat the address in brackets
        raise CannotListen(
            f"{settings.host} port {settings.port}: {reason}, expected a free port on an address of this machine"
        ) from exc
    with sock:
        yield sock


@contextmanager
def _user_store(settings: Settings) -> Iterator[None]:
    """The embedded store if the settings ask for it; workers find its address in the environment."""
    if settings.redis != EMBEDDED:
        yield
        return
    from service.stores.embedded import EmbeddedStore

    store = EmbeddedStore.start(settings.data_dir or settings.store / "users")
    os.environ["KSHOT_REDIS"] = store.url
    try:
        yield
    finally:
        store.stop()


def _things_to_try(address: str, registry: Registry) -> str:
    """Three commands to paste: ask, tell, ask again."""
    catalogue = Catalogue(registry.live_folder())
    item = shlex.quote(f'{{"user_id":"ann","events":[{{"item_id":"{catalogue.ids[0]}","value":5}}]}}')
    ask = f"curl -s '{address}/recommend?user_id=ann&k=5'"
    tell = f"curl -s {address}/feedback -H 'content-type: application/json' -d {item}"
    return f"\nkshot serves on {address} (docs: {address}/docs). Try:\n\n  {ask}\n  {tell}\n  {ask}\n\nCtrl-C stops it."
