"""Containers without an engine, by runc with the configuration that Docker makes for ``docker run``.

The confinement is that of docker-compose.yml: read-only root, a tmpfs at /tmp, no capabilities, no new privileges,
separate namespaces, Docker's masked paths. Docker's seccomp filter and its resource limits are absent.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from programs import SEARCHED, find

STOP_DEADLINE_S = 30.0
START_DEADLINE_S = 60.0
MASKED = ("acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi")
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
KERNEL_FILE_SYSTEMS = (
    ("/proc", "proc", "proc", ()),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    ("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/tmp", "tmpfs", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777")),
)
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Spec:
    """Configuration of a container. Keys of ``binds`` are paths of the machine; all other paths are in the container.

    ``binds`` maps a path to its mount point and "ro" or "rw". ``network`` is the path of a network namespace;
    None stands for one with loopback alone.
    """

    rootfs: Path
    command: tuple[str, ...]
    user: str
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    binds: Mapping[Path, tuple[str, str]] = field(default_factory=dict)
    network: str | None = None
    init: bool = False


def spec_of(rootfs: Path, image: Mapping[str, Any], *arguments: str) -> Spec:
    """``docker run IMAGE ARGUMENTS``; without arguments, the image's command runs."""
    command = (*(image.get("Entrypoint") or ()), *(arguments or image.get("Cmd") or ()))
    env = dict(pair.split("=", 1) for pair in image["Env"])
    return Spec(rootfs, command, image.get("User") or "0:0", env, image.get("WorkingDir") or "/")


def configuration(spec: Spec) -> dict[str, Any]:
    """The runtime specification that runc reads."""
    user, group = (int(number) for number in spec.user.split(":"))
    binds = dict(spec.binds)
    command = list(spec.command)
    if spec.init:  # Docker's init is this program at this path
        program = find("tini-static")
        assert program is not None, "tini-static is absent"
        binds[Path(program)] = ("/sbin/docker-init", "ro")
        command = ["/sbin/docker-init", "--", *command]
    network = {"type": "network"} | ({"path": spec.network} if spec.network else {})
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": user, "gid": group},
            "args": command,
            "env": [f"{name}={value}" for name, value in spec.env.items()],
            "cwd": spec.folder,
            "noNewPrivileges": True,
            "capabilities": {},
        },
        "root": {"path": str(spec.rootfs), "readonly": True},
        "hostname": "kshot",
        "mounts": [*map(_kernel_mount, KERNEL_FILE_SYSTEMS), *itertools.starmap(_bind, binds.items())],
        "linux": {
            "namespaces": [network, *({"type": kind} for kind in ("pid", "ipc", "uts", "mount"))],
            "maskedPaths": [f"/proc/{name}" for name in MASKED] + ["/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in READ_ONLY],
        },
    }


def _kernel_mount(row: tuple[str, str, str, tuple[str, ...]]) -> dict[str, Any]:
    target, kind, source, options = row
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _bind(source: Path, target: tuple[str, str]) -> dict[str, Any]:
    mount_point, mode = target
    return {"destination": mount_point, "type": "bind", "source": str(source.resolve()), "options": ["rbind", mode]}


@dataclass(frozen=True)
class Container:
    """A started container."""

    name: str
    folder: Path
    process: subprocess.Popen[bytes]

    def runc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of runc and capture its output."""
        return subprocess.run([*_runc(), *words], capture_output=True, text=True, check=False, env=_env())

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """``docker exec``: a command inside, as the container's user, with its variables and confinement."""
        return self.runc("exec", self.name, *command)

    def stop(self) -> int:
        """``docker stop``: SIGTERM to the first process; the exit code."""
        self.runc("kill", self.name, "TERM")
        return self.process.wait(STOP_DEADLINE_S)

    def output(self) -> str:
        """Everything on standard output so far."""
        return (self.folder / "stdout").read_text(encoding="utf-8")

    def log(self) -> str:
        """Everything on standard error so far."""
        return (self.folder / "stderr").read_text(encoding="utf-8")

    def wait_until(self, condition: Callable[[], object]) -> None:
        """Poll until ``condition`` holds, while the container runs."""
        deadline = time.monotonic() + START_DEADLINE_S
        while not condition():
            assert self.process.poll() is None, f"{self.name} ended: {self.output()}{self.log()}"
            assert time.monotonic() < deadline, f"{self.name}: not true in time: {self.output()}{self.log()}"
            time.sleep(0.1)


@contextmanager
def started(spec: Spec, folder: Path) -> Iterator[Container]:
    """Run a container until the context ends. The new ``folder`` holds its configuration and output."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(configuration(spec), indent=1), encoding="utf-8")
    name = f"kshot-{os.getpid()}-{next(_NUMBERS)}"
    command = [*_runc(), "run", "--bundle", str(folder), name]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=_env())
    container = Container(name, folder, process)
    try:
        yield container
    finally:
        if process.poll() is None:
            container.runc("kill", name, "KILL")
            process.wait(STOP_DEADLINE_S)
        container.runc("delete", "--force", name)


def finished(spec: Spec, folder: Path, timeout_s: float = 3000.0) -> tuple[int, Container]:
    """Run a container to its end: the exit code, and the container with its output."""
    with started(spec, folder) as container:
        return container.process.wait(timeout_s), container


def with_binds(spec: Spec, binds: Mapping[Path, tuple[str, str]]) -> Spec:
    """The configuration with more mounted paths of the machine."""
    return replace(spec, binds={**spec.binds, **binds})


def named_volume(folder: Path, rootfs: Path, target: str) -> Path:
    """A new volume as Docker makes it, with the owner of the image's folder at ``target``."""
    folder.mkdir()
    inside = rootfs / target.lstrip("/")
    if inside.is_dir():
        os.chown(folder, inside.stat().st_uid, inside.stat().st_gid)
    return folder


def _runc() -> Sequence[str]:
    return ("runc", "--root", f"/run/kshot-tests-{os.getpid()}")


def _env() -> dict[str, str]:
    return os.environ | {"PATH": SEARCHED}
