"""What the deployment files say, read once, and what the program says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

ROOT = Path(__file__).parents[2]
# The commands of deploy/images are scripts: what they import stands beside them.
sys.path.append(str(ROOT / "deploy/images"))
Stages = dict[str, list[tuple[str, str]]]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def dockerfile() -> Stages:
    """Instructions by stage, continued lines joined; a stage on top of another repeats the other's."""
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
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


@pytest.fixture(scope="session")
def variables() -> set[str]:
    """Environment variables that the service reads."""
    import service.settings

    classes = [each for each in vars(service.settings).values() if isinstance(each, type)]
    settings = [each for each in classes if issubclass(each, BaseSettings) and each is not BaseSettings]
    return {f"{each.model_config['env_prefix']}{name}".upper() for each in settings for name in each.model_fields}


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
    """Source of the HTTP layer, where every path stands as a literal."""
    return "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "service/api").glob("*.py")))
