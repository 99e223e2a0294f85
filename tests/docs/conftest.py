"""The world of the documents, trained by the documented command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import prepared_stores
import pytest
from documents_world import BRIEFLY, World, write_events

from model_store.bundle import Registry

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("documents") / "world"
    write_events(folder / "events")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}
    command = ["kshot", "train", "--data", "./events", "--bundles", "./bundles", *BRIEFLY]
    trained = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert trained.returncode == 0, trained.stderr
    second = Path(shutil.copytree(folder / "bundles", folder.with_name("second")))
    Registry(second).promote(prepared_stores.add_second(folder / "events", second))
    return World(folder, second, environment)
