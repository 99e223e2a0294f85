"""Build both images with Docker or Podman and a registry, or with buildah and without a registry.

    python deploy/images/build_images.py                      the engine that works here
    python deploy/images/build_images.py --engine buildah     images in build/images, without a daemon

Without a registry, debootstrap makes the base image from Debian packages, which needs root.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from debian_root import make_python_root, release_with
from image_store import ImageStore
from pip_settings import mounts_for_build
from programs import ImageError, find, require, require_root, run_visibly, say, succeeds

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/images"
TAGS = {"service": "kshot:local", "train": "kshot-train:local"}
ENGINES = ("docker", "podman", "buildah")
# This project's torch is tested with Debian's Python 3.11.
PYTHON_WITHOUT_REGISTRY = "3.11"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def main() -> int:
    """Build, and print a line per image."""
    options = parsed()
    try:
        build_all(options)
    except ImageError as error:
        say(f"images: {error}")
        return 1
    return 0


def parsed() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=ENGINES, help="default: Docker or Podman if one works, else buildah")
    parser.add_argument("--python", metavar="X.Y", help="default: the Dockerfile's, or 3.11 without a registry")
    parser.add_argument("--extra", default="demo", help="extra that the train image installs (%(default)s)")
    parser.add_argument("--torch-index", default="", help="package index of the train image's torch")
    parser.add_argument("--target", action="append", choices=sorted(TAGS), help="default: both")
    return parser.parse_args()


def build_all(options: argparse.Namespace) -> None:
    """Build the targets that ``options`` name."""
    targets = options.target or list(TAGS)
    arguments = {"EXTRA": options.extra, "TORCH_INDEX": options.torch_index}
    engine = options.engine or working_engine(options.python or default_python())
    if engine == "buildah":
        build_in_folder(ImageStore(FOLDER / "store"), targets, arguments, options.python)
    else:
        build_with(engine, targets, arguments | ({"PYTHON": options.python} if options.python else {}))


def working_engine(python: str) -> str:
    """An engine that runs and reaches the registry of the base image; else buildah, which needs no registry."""
    image = f"docker.io/library/python:{python}-slim"
    for engine in ("docker", "podman"):
        if find(engine) and succeeds([engine, "info"]) and succeeds([engine, "pull", image]):
            return engine
    return "buildah"


def default_python() -> str:
    """Python version in the Dockerfile."""
    match = re.search(r"^ARG PYTHON=(\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ImageError("Dockerfile: expected a line 'ARG PYTHON=…' with the Python version, found none")
    return match[1]


def build_with(engine: str, targets: Sequence[str], arguments: Mapping[str, str]) -> None:
    """Build with the command line of Docker or Podman."""
    for target in targets:
        words = [word for name, value in arguments.items() if value for word in ("--build-arg", f"{name}={value}")]
        run_visibly([engine, "build", *words, "--target", target, "--tag", TAGS[target], ROOT])
        print(f"{TAGS[target]}: built by {engine}")


def build_in_folder(
    store: ImageStore, targets: Sequence[str], arguments: Mapping[str, str], python: str | None
) -> None:
    """Build with buildah; without a registry, make a base image first."""
    require_root("buildah with images in a folder")
    require("buildah")
    version = ensure_base(store, python)
    mounts = mounts_for_build(sys.executable, FOLDER / "pip.conf")
    try:
        for target in targets:
            store.build(ROOT, target, TAGS[target], {**arguments, "PYTHON": version}, mounts)
            print(f"{TAGS[target]}: {store.size_bytes(TAGS[target]) / 1e6:,.0f} MB, {origin_of(store, TAGS[target])}")
    finally:
        (FOLDER / "pip.conf").unlink(missing_ok=True)  # an address in it may hold a password
        store.remove_untagged()


def ensure_base(store: ImageStore, python: str | None) -> str:
    """Pull or make an image python:X.Y-slim in ``store``; returns X.Y.

    Raises:
        ImageError: no registry is reachable and Debian does not have this Python.
    """
    version = python or default_python()
    image = f"docker.io/library/python:{version}-slim"
    if store.has(image) or store.pull(image):
        return version
    version = python or PYTHON_WITHOUT_REGISTRY
    image = f"docker.io/library/python:{version}-slim"
    if not store.has(image):
        release = release_with(version)
        say(f"{image} is in no reachable registry; a Debian {release} base replaces it")
        root = make_python_root(version, FOLDER / f"python-{version}")
        store.add_root(image, root, f"Debian {release} by debootstrap", PATH)
    return version


def origin_of(store: ImageStore, image: str) -> str:
    """Phrase about the base image."""
    labels = store.configuration(image).get("Labels") or {}
    return f"on {labels['kshot.base']}" if "kshot.base" in labels else "on the registry's base image"


if __name__ == "__main__":
    sys.exit(main())
