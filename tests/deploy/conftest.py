"""Deployment files, and the program's variables, options and routes.

With ``--deploy-size long`` (``make imagetest``) both images are built and the services of the compose file run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings
from root import ROOT

LONG_TIMEOUT_S = 3600
LONG_FILES = {"test_built_images.py", "test_stack.py"}
Stages = dict[str, list[tuple[str, str]]]


def pytest_addoption(parser: pytest.Parser) -> None:
    size = "long builds both images and runs the compose file's services, which needs root and Debian"
    parser.addoption("--deploy-size", choices=("short", "long"), default="short", help=size)
    parser.addoption("--images-built", action="store_true", help="with long: use the images of the last run")


def is_long(config: pytest.Config) -> bool:
    # A run that starts above this folder parses options before it reads this file; then there is only the default.
    return bool(config.getoption("--deploy-size", "short") == "long")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path.name in LONG_FILES and not is_long(config) else None


@pytest.hookimpl(tryfirst=True)  # before pytest-timeout reads the marker
def pytest_itemcollected(item: pytest.Item) -> None:
    if item.path.name in LONG_FILES:
        item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def images(root: Path, pytestconfig: pytest.Config) -> Any:
    """Image store with both images, built from this tree, and an image with the programs of other projects."""
    import composed
    from debian_root import make_root
    from image_store import ImageStore
    from programs import require

    if not pytestconfig.getoption("--images-built"):
        command = [sys.executable, "deploy/images/build_images.py", "--engine", "buildah"]
        subprocess.run(command, cwd=root, check=True)
    require("buildah", "runc", "tini-static", "ip")
    store = ImageStore(root / "build/images/store")
    if not store.has(composed.PROGRAMS_IMAGE):
        folder = make_root(composed.PROGRAMS_RELEASE, composed.PROGRAMS, root / "build/images/stack-programs")
        store.add_root(composed.PROGRAMS_IMAGE, folder, "Debian trixie by debootstrap", os.defpath)
    return store


@pytest.fixture(scope="session")
def roots(images: Any) -> Iterator[dict[str, Path]]:
    """Root folders of containers by image."""
    import composed

    names = ("kshot:local", "kshot-train:local", composed.PROGRAMS_IMAGE)
    with ExitStack() as mounted:
        yield {name: mounted.enter_context(images.mounted(name)) for name in names}


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def dockerfile() -> Stages:
    """Instructions by stage, with continued lines joined; a stage includes the instructions of its base stage."""
    stages: Stages = {}
    instructions: list[tuple[str, str]] = []
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            stages[name] = instructions = list(stages.get(image, []))
        instructions.append((word, rest.strip()))
    return stages


@pytest.fixture(scope="session")
def kubernetes() -> dict[str, Any]:
    """Objects by kind."""
    text = (ROOT / "deploy/kubernetes/kshot.yaml").read_text(encoding="utf-8")
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


@pytest.fixture(scope="session")
def variables() -> set[str]:
    """Environment variables that the service reads."""
    import service.settings

    classes = [value for value in vars(service.settings).values() if isinstance(value, type)]
    groups = [group for group in classes if issubclass(group, BaseSettings) and group is not BaseSettings]
    return {f"{group.model_config['env_prefix']}{name}".upper() for group in groups for name in group.model_fields}


@pytest.fixture(scope="session")
def kshot_help() -> Callable[[str], str]:
    """The help text of one kshot command."""

    @cache
    def read(command: str) -> str:
        kshot = Path(sys.executable).with_name("kshot")
        wide = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
        return subprocess.run([kshot, command, "--help"], env=wide, capture_output=True, text=True, check=True).stdout

    return read


@pytest.fixture(scope="session")
def routes() -> str:
    """Source of the HTTP layer, with every path as a literal."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "service/api").rglob("*.py")))
