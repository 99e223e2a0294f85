"""Images in a folder, managed by buildah without a daemon and without a registry."""

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
        """The program with this folder as its storage; layers are plain copies, which works on every file system."""
        storage = self.folder.resolve()
        return ["buildah", "--root", f"{storage}/layers", "--runroot", f"{storage}/state", "--storage-driver", "vfs"]

    def has(self, image: str) -> bool:
        """Report whether the image is in the folder."""
        return succeeds([*self.buildah, "inspect", "--type", "image", image])

    def pull(self, image: str) -> bool:
        """Pull an image from its registry; False if the registry cannot be reached."""
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
        """Build one target of the Dockerfile in ``context``; ``mounts`` exist during the build only.

        Raises:
            ImageError: the build failed.
        """
        # Docker's format, because the OCI format has no health checks.
        options = ["--format", "docker", "--pull-never", "--network", "host", "--isolation", "chroot"]
        command = [*self.buildah, "bud", *options]
        command += [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        command += [word for path, inside in mounts.items() for word in ("--volume", f"{path.resolve()}:{inside}:ro")]
        run_visibly([*command, "--target", target, "--tag", tag, str(context)])

    def remove_untagged(self) -> None:
        """Remove images that lost their name to a later build; every image has a copy of all its layers."""
        run([*self.buildah, "rmi", "--prune"])

    def describe(self, image: str) -> dict[str, Any]:
        """Configuration and manifest of an image, in buildah's form.

        Raises:
            ImageError: the image is not in the folder.
        """
        if not self.has(image):
            raise ImageError(f"{image}: not in {self.folder}; build it with: make images ENGINE=buildah")
        described: dict[str, Any] = json.loads(run([*self.buildah, "inspect", "--type", "image", image]))
        return described

    def configuration(self, image: str) -> dict[str, Any]:
        """Command, environment, user and health check of an image, with Docker's names."""
        configuration: dict[str, Any] = self.describe(image)["Docker"]["config"]
        return configuration

    def size_bytes(self, image: str) -> int:
        """Bytes of all layers, uncompressed."""
        manifest = json.loads(self.describe(image)["Manifest"])
        return sum(layer["size"] for layer in manifest["layers"])

    @contextmanager
    def mounted(self, image: str) -> Iterator[Path]:
        """Root folder of a container of the image; the container is removed at the end."""
        container = run([*self.buildah, "from", "--pull-never", image]).strip()
        try:
            yield Path(run([*self.buildah, "mount", container]).strip())
        finally:
            run([*self.buildah, "rm", container])
