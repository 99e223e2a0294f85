"""The ``kshot`` command, and the service's own subcommands: ``kshot serve``, ``kshot demo``."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import wraps
from importlib.metadata import entry_points, version
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
import uvicorn

from model_store.bundle import Catalogue, Registry
from model_store.errors import ModelStoreError
from service.access.keyring import Scope, add_key, read_keyring, revoke_key
from service.errors import CannotListen, ServiceError, SettingInvalid
from service.metrics_folder import VARIABLE as METRICS_VARIABLE
from service.metrics_folder import folder_of_a_run, take_over_variable
from service.settings import EMBEDDED, Settings, read_settings

DEMO_SOURCE = "demo:movies"
DEMO_STORE = Path(".kshot/store")
APPLICATION = "service.main:create_app"


def _not_empty(value: str | None) -> str | None:
    """Refuse a blank value, as of a shell's variable that is not set; a blank path would be the working directory."""
    if value is not None and not value.strip():
        raise typer.BadParameter("empty, expected a value, or no such flag for the default")
    return value


TEXT: dict[str, Any] = {"callback": _not_empty}
PATH: dict[str, Any] = {"callback": _not_empty, "metavar": "PATH"}

Store = Annotated[str | None, typer.Option(**PATH, help="Folder of the bundles.")]
Redis = Annotated[str | None, typer.Option(**TEXT, help='Address of the user store, or "embedded" to run one.')]
RedisPrefix = Annotated[str | None, typer.Option(**TEXT, help="Beginning of every key in the user store.")]
DataDir = Annotated[
    str | None, typer.Option(**PATH, help="Folder of the embedded store's data; STORE/users if absent.")
]
DurabilityFlag = Annotated[
    str | None,
    typer.Option(
        **TEXT,
        help="When feedback is acknowledged: durable (on disk), replicated (on disk and with a replica, so that it "
        "outlives the store's machine), or fast (at once: a crash of the store's machine loses acknowledged feedback "
        "that was not on disk).",
    ),
]
Host = Annotated[str | None, typer.Option(**TEXT, help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on.")]
RootPath = Annotated[
    str | None, typer.Option(**TEXT, help="Path under which a proxy publishes the service, e.g. /kshot.")
]
KeysFile = Annotated[
    str | None, typer.Option(**PATH, help="File of the API keys; a service beyond loopback wants one.")
]
Open = Annotated[bool | None, typer.Option("--open", help="Listen beyond loopback without API keys.")]
RequireSignature = Annotated[
    str | None, typer.Option(**PATH, help="File of public keys; only bundles signed by one are served.")
]
Workers = Annotated[int | None, typer.Option(help="Processes that share the port.")]


def main() -> None:
    """Run ``kshot`` with the subcommands that the installed packages bring."""
    take_over_variable()  # before a command imports what imports prometheus-client
    app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
    app.callback()(_options)
    for command in sorted(entry_points(group="kshot.commands")):
        loaded = command.load()
        if isinstance(loaded, typer.Typer):
            app.add_typer(loaded, name=command.name)
        else:
            app.command(command.name)(loaded)
    app(prog_name="kshot")


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"kshot {version('kshot')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Learn from events, and answer requests for lists."""


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
    redis_prefix: RedisPrefix = None,
    data_dir: DataDir = None,
    durability: DurabilityFlag = None,
    host: Host = None,
    port: Port = None,
    root_path: RootPath = None,
    workers: Workers = None,
    keys_file: KeysFile = None,
    open_to_all: Open = None,
    require_signature: RequireSignature = None,
) -> None:
    """Serve the live bundle of STORE. What is not given comes from KSHOT_… variables, then from defaults."""
    given = {
        "store": store,
        "redis": redis,
        "redis_prefix": redis_prefix,
        "data_dir": data_dir,
        "durability": durability,
        "host": host,
        "port": port,
        "root_path": root_path,
        "workers": workers,
        "keys_file": keys_file,
        "open": open_to_all,
        "require_signature": require_signature,
    }
    _refuse_secrets(redis)
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
        train = [sys.argv[0], "train", "--data", DEMO_SOURCE, "--store", str(settings.store), "--no-cross-fit"]
        if subprocess.run(train, stdout=subprocess.DEVNULL, check=False).returncode:  # noqa: S603 - our own command
            raise typer.Exit(1) from None
    _serve(settings, announce=lambda address: typer.echo(_things_to_try(address, registry)))


def _refuse_secrets(redis: str | None) -> None:
    """Other users of a machine see its command lines."""
    if redis is not None and ("@" in redis or "password=" in redis):
        raise SettingInvalid(
            "--redis: an address with a password or user, expected one without; "
            "set KSHOT_REDIS, or KSHOT_REDIS_PASSWORD_FILE beside it"
        )


def _settings(given: dict[str, Any]) -> Settings:
    """Settings from flags over environment; the environment is set too, since workers read theirs from it."""
    os.environ |= {f"KSHOT_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    return read_settings()


def _serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run the workers until they are told to stop, and the embedded store as long as they run."""
    Registry(settings.store).live_folder()  # refused here with one clear line, before anything starts
    for stopping in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stopping, _leave)
    # Their metrics are declared when they are imported, after the environment says where to.
    from service.server.connections import Patience, connections
    from service.server.processes import allowed_connections

    with _metrics_folder(settings) as metrics, _listening(settings) as sock, _user_store(settings):
        config = uvicorn.Config(
            APPLICATION,
            factory=True,
            http=connections(Patience(settings.client_timeout_s, allowed_connections(settings.max_connections))),
            workers=settings.workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_s,
        )
        host, port = sock.getsockname()[:2]
        _run(
            config,
            sock,
            metrics,
            lambda: announce(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"),
        )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End by unwinding, so that what was started stops too; uvicorn calls this when it has drained its requests."""
    raise SystemExit(0)


def _run(config: uvicorn.Config, sock: socket.socket, metrics: str, announce: Callable[[], None]) -> None:
    if config.workers == 1:
        _Announcing(config, announce).run([sock])
        return
    from service.main import try_parts
    from service.server.processes import WorkerProcesses

    # What keeps a worker from starting ends us here; the supervisor would start it again and again.
    try_parts()
    os.environ[METRICS_VARIABLE] = metrics  # the workers read it when they import the metrics
    announce()
    WorkerProcesses(config, [sock]).run()


class _Announcing(uvicorn.Server):
    """Says where it listens as soon as it does."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._announce()


def _metrics_folder(settings: Settings) -> AbstractContextManager[str]:
    """A folder that the workers share; one alone needs none, but refuses a named one that cannot be written."""
    needed = settings.workers > 1 or settings.metrics_dir is not None
    return folder_of_a_run(settings.metrics_dir) if needed else nullcontext("")


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
    store.keep_running()
    os.environ["KSHOT_REDIS"] = store.url
    try:
        yield
    finally:
        store.stop()


keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys; running services see it in a second.")

GivenKeysFile = Annotated[str, typer.Option(**PATH, envvar="KSHOT_KEYS_FILE", help="File of the API keys.")]
Scopes = Annotated[list[Scope], typer.Option("--scope", help="What the key may do; several times for several.")]
KeyName = Annotated[str, typer.Option(help="Whose key it is, for people.", max=100)]


@keys.command()
@_clear_errors
def new(scope: Scopes, keys_file: GivenKeysFile, name: KeyName = "") -> None:
    """Make a key and print it, this once; the file gets its hash."""
    text = add_key(Path(keys_file), scope, name, datetime.now(UTC).replace(microsecond=0))
    typer.echo("shown once, keep it:", err=True)
    typer.echo(text)


@keys.command("list")
@_clear_errors
def list_keys(keys_file: GivenKeysFile) -> None:
    """All keys, oldest first: id, time, scopes, name."""
    for key in read_keyring(Path(keys_file)).keys:
        typer.echo(f"{key.id}  {key.created_at:%Y-%m-%d %H:%M}  {','.join(key.scopes)}  {key.name}".rstrip())


@keys.command()
@_clear_errors
def revoke(key_id: Annotated[str, typer.Argument(help="Id of the key.")], keys_file: GivenKeysFile) -> None:
    """Take a key away; requests with it are refused from then on."""
    revoke_key(Path(keys_file), key_id)
    typer.echo(key_id)


def _things_to_try(address: str, registry: Registry) -> str:
    """Three commands to paste: ask, tell, ask again."""
    catalogue = Catalogue(registry.live_folder())
    item = shlex.quote(f'{{"user_id":"ann","events":[{{"item_id":"{catalogue.ids[0]}","value":5}}]}}')
    ask = f"curl -s '{address}/recommend?user_id=ann&k=5'"
    tell = f"curl -s {address}/feedback -H 'content-type: application/json' -d {item}"
    return f"\nkshot serves on {address} (docs: {address}/docs). Try:\n\n  {ask}\n  {tell}\n  {ask}\n\nCtrl-C stops it."
