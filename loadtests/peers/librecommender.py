"""LibRecommender's embedding server: Sanic, vectors and histories in Redis, items in a faiss index.

LibRecommender's *online* server takes a sequence of items with a request and sends it to TensorFlow Serving 2.8.2. Its
guide uses a Docker image for that; PyPI and Debian have none. Without the image only the embedding server runs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import ClassVar

from loadtests.kit.processes import free_port, listens, running_process
from loadtests.peers.environment import environment
from loadtests.peers.peer import USER, Peer, PeerError, Request
from loadtests.peers.world import World

PROGRAMS = Path(__file__).parent / "programs"
REQUIREMENTS = (
    "LibRecommender==1.5.2",
    "aiohttp",
    "faiss-cpu",
    "numpy",
    "pandas",
    "pydantic",
    "redis",
    "sanic",
    "scikit-learn",
    "scipy",
    "tensorflow-cpu",
    "torch==2.13.0",
    "ujson",
)


class LibRecommender(Peer):
    """ALS, saved and loaded into Redis by ``libserving``, served by its Sanic application."""

    name: ClassVar[str] = "LibRecommender"
    note: ClassVar[str] = (
        "1.5.2, ALS with 64 factors, libserving's embedding server; its online server needs TensorFlow Serving, "
        "which neither PyPI nor Debian has"
    )

    def install(self) -> None:
        """Install its libraries; every part of it imports torch and TensorFlow."""
        if shutil.which("redis-server") is None:
            raise PeerError("LibRecommender: redis-server is not on PATH; on Debian: apt-get install redis-server")
        self._environment = environment("librecommender", REQUIREMENTS)
        self._redis_port = free_port()

    def train(self, world: World) -> None:
        """Train and save the model to files."""
        program = str(PROGRAMS / "librecommender_train.py")
        self._environment.run("python", program, str(world.interactions), str(self._model))

    def start(self, world: World) -> None:
        """Start Redis, load the model into it, and start the server, as its guide describes for production."""
        del world
        redis = ["redis-server", "--port", str(self._redis_port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        self._running.enter_context(running_process([*redis, str(self.folder)], lambda: listens(self._redis_port)))
        program = str(PROGRAMS / "librecommender_load.py")
        self._environment.run("python", program, str(self._model), str(self._redis_port))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [self._environment.program("sanic"), "libserving.sanic_serving.embed_deploy:app"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-logs", "--workers", "1"]
        env = {"REDIS_HOST": f"127.0.0.1:{self._redis_port}"}
        self._running.enter_context(running_process(command, lambda: listens(port), core=self.core, env=env))

    def recommend(self, k: int) -> Request:
        """POST /embed/recommend, for a user of the training."""
        return Request("POST", "/embed/recommend", json.dumps({"user": USER, "n_rec": k}))

    def item_ids(self, body: bytes) -> list[str]:
        """Item ids of the list, which is the value of a key that is the user's id."""
        ((_, item_ids),) = json.loads(body).items()
        return [str(item_id) for item_id in item_ids]

    @property
    def _model(self) -> Path:
        return self.folder / "model"
