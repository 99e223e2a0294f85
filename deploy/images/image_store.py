"""Images in a folder of their own, by buildah: no daemon, no registry, nothing outside the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from programs import ImageError, run, run_visibly, succeeds


@dataclass(frozen=True)
class ImageStore:
    """Folder of images."""

    folder: Path

    @property
    def buildah(self) -> list[str]:
        """The program with this folder as its storage; plain copies of layers, which every file system takes."""
        storage = self.folder.resolve()
        return ["buildah", "--root", f"{storage}/layers", "--runroot", f"{storage}/state", "--storage-driver", "vfs"]

    def has(self, image: str) -> bool:
        """Report whether the image is in the folder."""
        return succeeds([*self.buildah, "inspect", "--type", "image", image])

    def pull(self, image: str) -> bool:
        """Fetch an image from its registry; False where that cannot be reached."""
        return succeeds([*self.buildah, "pull", image])

    def add_root(self, image: str, root: Path, origin: str, path: str) -> None:
        """Make an image of a root folder, with ``path`` as its PATH and ``origin`` as its label kshot.base.

        Raises:
            ImageError: buildah failed.
        """
        container = run([*self.buildah, "from", "scratch"]).strip()
        try:
            run([*self.buildah, "add", "--quiet", container, root, "/"])
            settings = ["--env", f"PATH={path}", "--cmd", "python3", "--label", f"kshot.base={origin}"]
            run([*self.buildah, "config", *settings, container])
            run([*self.buildah, "commit", "--quiet", container, image])
        finally:
            run([*self.buildah, "rm", container])

    def build(
        self, context: Path, target: str, tag: str, arguments: Mapping[str, str], mounts: Mapping[Path, str]
    ) -> None:
        """Build one target of the Dockerfile in ``context``; ``mounts`` are there during the build only.

        Raises:
            ImageError: the build failed.
        """
        # Docker's format, because the other one has no health checks.
        options = ["--format", "docker", "--pull-never", "--network", "host", "--isolation", "chroot"]
        command = [*self.buildah, "bud", *options]
        command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        command += [word for path, place in mounts.items() for word in ("--volume", f"{path.resolve()}:{place}:ro")]
        run_visibly([*command, "--target", target, "--tag", tag, str(context)])

    def remove_untagged(self) -> None:
        """Remove the images whose names later builds have taken: each has a copy of all its layers."""
        run([*self.buildah, "rmi", "--prune"])

    def describe(self, image: str) -> dict[str, Any]:
        """Configuration and manifest of an image, as buildah knows them.

        Raises:
            ImageError: there is no such image in the folder.
        """
        if not self.has(image):
            raise ImageError(f"{image}: not in {self.folder}; build it with: make images ENGINE=buildah")
        described: dict[str, Any] = json.loads(run([*self.buildah, "inspect", "--type", "image", image]))
        return described

    def configuration(self, image: str) -> dict[str, Any]:
        """Command, environment, user and health check of an image, under Docker's names."""
        configuration: dict[str, Any] = self.describe(image)["Docker"]["config"]
        return configuration

    def size_bytes(self, image: str) -> int:
        """Bytes of all layers, uncompressed."""
        manifest = json.loads(self.describe(image)["Manifest"])
        return sum(layer["size"] for layer in manifest["layers"])

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """Root folder of a container that is made of the image, and removed in the end."""
        container = run([*self.buildah, "from", "--pull-never", image]).strip()
        try:
            yield Path(run([*self.buildah, "mount", container]).strip())
        finally:
            run([*self.buildah, "rm", container])
