"""recotem: a recipe trains an irspack model; its server loads newer models by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from loadtests.kit.processes import free_port, responds, running_process
from loadtests.peers.environment import environment
from loadtests.peers.peer import USER, Peer, Request
from loadtests.peers.world import World

VERSION = "2.1.0"
# Requirements of recotem 2.1.0. It requires Python 3.12, but its code also runs on 3.11: pip installs the wheel with
# --ignore-requires-python, and the requirements separately.
REQUIREMENTS = (
    "fastapi<0.140,>=0.120",
    "fsspec<2026,>=2024.6",
    "irspack==0.5.2",
    "numpy<3,>=2.1",
    "optuna<5,>=4.1",
    "pandas<4,>=3.0.3",
    "pyarrow<26,>=15",
    "pydantic<3,>=2.7",
    "pyyaml<7,>=6.0.1",
    "rich<16,>=13",
    "scikit-learn<1.10,>=1.8",
    "scipy<2,>=1.13",
    "starlette<1.4,>=1.0.0",
    "structlog<26,>=24",
    "typer<0.27,>=0.15.4",
    "urllib3<3,>=2.7.0",
    "uvicorn[standard]<0.53,>=0.30",
)
RECIPE = """\
name: world
source:
  type: csv
  path: {interactions}
schema:
  user_column: user_id
  item_column: item_id
training:
  algorithms: [IALS]
  metric: ndcg
  cutoff: 20
  n_trials: 1
output:
  path: {output}
"""
SETTINGS = {
    "RECOTEM_SIGNING_KEYS": f"load:{'0' * 64}",
    "RECOTEM_ENV": "development",
    "RECOTEM_WATCH_INTERVAL": "1",
}


class Recotem(Peer):
    """``recotem train`` and ``recotem serve`` without API keys; the server looks for a new model every second."""

    name: ClassVar[str] = "recotem"
    note: ClassVar[str] = (
        f"{VERSION}, IALS with a single trial, its quickest training; stores no feedback: "
        "a client can send the liked items with each request"
    )

    def install(self) -> None:
        """Install its wheel, then its requirements."""
        wheel = ("--no-deps", "--ignore-requires-python", f"recotem=={VERSION}")
        self._environment = environment("recotem", wheel, REQUIREMENTS)

    def train(self, world: World) -> None:
        """Run ``recotem train``."""
        recipe = RECIPE.format(interactions=world.interactions, output=self.folder / "world.recotem")
        self._recipes.mkdir(exist_ok=True)
        (self._recipes / "world.yaml").write_text(recipe, encoding="utf-8")
        self._environment.run("recotem", "train", "--quiet", str(self._recipes / "world.yaml"), env=self._env)

    def start(self, world: World) -> None:
        """Start ``recotem serve``; the world's users are in its model."""
        del world
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [self._environment.program("recotem"), "serve", "--recipes", str(self._recipes)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--insecure-no-auth"]
        self._running.enter_context(
            running_process(command, lambda: responds(f"{self.url}/v1/health"), core=self.core, env=self._env)
        )

    def reload(self, world: World) -> None:
        """Do nothing: the server looks for newer models."""

    def recommend(self, k: int) -> Request:
        """POST …:recommend, for a user of the training."""
        return Request("POST", "/v1/recipes/world:recommend", json.dumps({"user_id": USER, "limit": k}))

    def recommend_for(self, item_ids: list[str], k: int) -> Request:
        """POST …:recommend-related, for seed items."""
        return Request("POST", "/v1/recipes/world:recommend-related", json.dumps({"seed_items": item_ids, "limit": k}))

    def item_ids(self, body: bytes) -> list[str]:
        """Item ids of the list."""
        return [item["item_id"] for item in json.loads(body)["items"]]

    @property
    def _recipes(self) -> Path:
        return self.folder / "recipes"

    @property
    def _env(self) -> dict[str, str]:
        return SETTINGS | {"RECOTEM_ARTIFACT_ROOT": str(self.folder)}
