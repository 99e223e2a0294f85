"""Services of docker-compose.yml as containers without an engine, with their networks and mounts.

Commands, variables, users, mounts, secrets, networks and names come from the file. Debian's programs replace images of
other projects, with the user, entry point and command of the published images. Ports are not published: requests are
sent from a network namespace that owns the networks.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import contained
from contained import Container, Spec
from image_store import ImageStore
from programs import SEARCHED, run

PROGRAMS_IMAGE = "localhost/kshot-stack-programs:trixie"
PROGRAMS_RELEASE = "trixie"
PROGRAMS = ("prometheus", "valkey-server", "valkey-tools")
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Configuration of the published images, and owners of their volumes.
PUBLISHED: dict[str, dict[str, Any]] = {
    "valkey/valkey": {"Env": [PATH], "WorkingDir": "/data", "owners": {"/data": (999, 1000)}},
    "prom/prometheus": {
        "Env": [PATH],
        "Entrypoint": ["/bin/prometheus"],
        "Cmd": ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        "User": "65534:65534",
        "WorkingDir": "/prometheus",
        "owners": {"/prometheus": (65534, 65534)},
    },
}
FIRST_HOST = 10
_NUMBERS = itertools.count(1)
ASK = """
import json, sys, urllib.error, urllib.request as r
method, url, headers, body = json.loads(sys.argv[1])
request = r.Request(url, body.encode() if body is not None else None, headers, method=method)
try:
    with r.urlopen(request, timeout=10) as a: print(json.dumps([a.status, a.read().decode()]))
except urllib.error.HTTPError as e: print(json.dumps([e.code, e.read().decode()]))
except OSError as e: print(json.dumps([0, str(e)]))
"""


@dataclass
class Stack:
    """Services of a compose file, their networks and their volumes.

    ``roots`` has the root folder of each image. ``machine`` is the network namespace that all networks belong to.
    ``volumes`` holds the named volumes; they stay.
    """

    compose: Mapping[str, Any]
    project: Path
    store: ImageStore
    roots: Mapping[str, Path]
    folder: Path
    volumes: Path
    resources: ExitStack
    machine: str
    containers: dict[str, Container] = field(default_factory=dict)
    starts: int = 0

    def namespace(self, service: str) -> str:
        """Network namespace of a service."""
        return f"{self.machine}-{service}"

    def address(self, service: str, network: str) -> str:
        """Address of a service in a network; services are numbered in the file's order."""
        return f"10.89.{self._networks.index(network)}.{FIRST_HOST + list(self.compose['services']).index(service)}"

    @property
    def _networks(self) -> list[str]:
        return list(self.compose["networks"])

    def make_networks(self) -> None:
        """Make a bridge per network of the file, in a namespace with its own loopback."""
        self._add_namespace(self.machine)
        for number, _ in enumerate(self._networks):
            bridge = f"br{number}"
            _ip("-n", self.machine, "link", "add", bridge, "type", "bridge")
            _ip("-n", self.machine, "addr", "add", f"10.89.{number}.1/24", "dev", bridge)
            _ip("-n", self.machine, "link", "set", bridge, "up")

    def _add_namespace(self, name: str) -> None:
        _ip("netns", "add", name)
        self.resources.callback(_ip, "netns", "del", name)
        _ip("-n", name, "link", "set", "lo", "up")

    def _join_networks(self, service: str) -> str | None:
        """Namespace of a service with an interface per network that it joins; None for loopback alone."""
        networks = self.compose["services"][service].get("networks", [])
        if not networks:
            assert self.compose["services"][service]["network_mode"] == "none", service
            return None
        name = self.namespace(service)
        path = f"/run/netns/{name}"
        if Path(path).exists():  # of an earlier start
            return path
        self._add_namespace(name)
        for network in networks:
            number = self._networks.index(network)
            near, far = f"eth{number}", f"{service[:10]}{number}"
            _ip("-n", self.machine, "link", "add", far, "type", "veth", "peer", "name", near, "netns", name)
            _ip("-n", self.machine, "link", "set", far, "master", f"br{number}", "up")
            _ip("-n", name, "addr", "add", f"{self.address(service, network)}/24", "dev", near)
            _ip("-n", name, "link", "set", near, "up")
        return path

    def _hosts(self, service: str) -> Path:
        """Hosts file of a service, with the services that share a network with it."""
        services = self.compose["services"]
        rows = ["127.0.0.1 localhost"]
        for network in services[service].get("networks", []):
            joined = [name for name in services if network in services[name].get("networks", [])]
            rows += [f"{self.address(name, network)} {name}" for name in joined]
        file = self.folder / f"hosts-{service}"
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")
        return file

    def spec(self, service: str, arguments: Sequence[str] = (), user: str | None = None) -> Spec:
        """``docker compose run --user USER SERVICE ARGUMENTS``, or ``up`` without either."""
        service_spec = self.compose["services"][service]
        assert (service_spec["read_only"], service_spec["tmpfs"], service_spec["cap_drop"]) == (
            True,
            ["/tmp"],
            ["ALL"],
        ), service
        published, rootfs = self._image(service_spec["image"])
        image = dict(published)
        if "entrypoint" in service_spec:
            image |= {"Entrypoint": service_spec["entrypoint"], "Cmd": []}
        spec = contained.spec_of(rootfs, image, *(arguments or service_spec.get("command", ())))
        binds = {self._hosts(service): ("/etc/hosts", "ro")}
        binds |= dict(self._mount(volume, image, rootfs) for volume in service_spec.get("volumes", []))
        for secret in service_spec.get("secrets", []):
            binds[self.project / self.compose["secrets"][secret]["file"]] = (f"/run/secrets/{secret}", "ro")
        return replace(
            contained.with_binds(spec, binds),
            env={**spec.env, **service_spec.get("environment", {})},
            user=user or service_spec.get("user") or spec.user,
            network=self._join_networks(service),
            init=service_spec.get("init", False),
        )

    def _image(self, name: str) -> tuple[Mapping[str, Any], Path]:
        published = next((PUBLISHED[image] for image in PUBLISHED if name.startswith(f"{image}:")), None)
        if published is not None:
            return published, self.roots[PROGRAMS_IMAGE]
        return self.store.configuration(name), self.roots[name]

    def _mount(self, volume: str, image: Mapping[str, Any], rootfs: Path) -> tuple[Path, tuple[str, str]]:
        """A volume of the file: a path beside it, or a named volume with the owner of the image's folder."""
        source, target, mode = (*volume.split(":"), "rw")[:3]
        if source.startswith("."):
            return self.project / source, (target, mode)
        path = self.volumes / source
        if not path.exists():
            contained.named_volume(path, rootfs, target)
            if target in image.get("owners", {}):
                os.chown(path, *image["owners"][target])
        return path, (target, mode)

    def run(self, service: str, *arguments: str, user: str | None = None) -> tuple[int, Container]:
        """``docker compose run --rm SERVICE ARGUMENTS``: exit code, and the container with its output."""
        return contained.finished(self.spec(service, arguments, user), self._output_folder(service))

    def _output_folder(self, service: str) -> Path:
        self.starts += 1
        return self.folder / f"{self.starts}-{service}"

    def up(self, service: str) -> Container:
        """``docker compose up SERVICE``: its dependencies start first and become healthy."""
        service_spec = self.compose["services"][service]
        for dependency in service_spec.get("depends_on", {}):
            if dependency not in self.containers:
                self.up(dependency)
        container = self.resources.enter_context(contained.started(self.spec(service), self._output_folder(service)))
        self.containers[service] = container
        if "healthcheck" in service_spec:
            _, command = service_spec["healthcheck"]["test"]
            container.wait_until(lambda: container.execute("sh", "-c", command).returncode == 0)
        return container

    def ask(self, url: str, *, key: str = "", body: Any = None) -> tuple[int, Any]:
        """Status and JSON of a response, or its text if it is not JSON; 0 and the reason without a response."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        request = ["GET" if body is None else "POST", url, headers, None if body is None else json.dumps(body)]
        command = ["ip", "netns", "exec", self.machine, sys.executable, "-c", ASK, json.dumps(request)]
        status, text = json.loads(run(command))
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text


@contextmanager
def stack_of(
    compose: Mapping[str, Any],
    project: Path,
    store: ImageStore,
    roots: Mapping[str, Path],
    folder: Path,
    volumes: Path,
) -> Iterator[Stack]:
    """A stack with networks and without running services; everything but its volumes is removed at the end."""
    folder.mkdir(exist_ok=True)
    volumes.mkdir(exist_ok=True)
    with ExitStack() as resources:
        machine = f"kshot-{os.getpid()}-{next(_NUMBERS)}"
        stack = Stack(compose, project, store, roots, folder, volumes, resources, machine)
        stack.make_networks()
        yield stack


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, env=os.environ | {"PATH": SEARCHED})
