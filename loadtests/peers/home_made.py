"""A typical home-made recommender: FastAPI and ALS of ``implicit``, with ``recalculate_user`` for new users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from loadtests.kit.processes import free_port, responds, running_process
from loadtests.peers.environment import environment
from loadtests.peers.peer import USER, Peer, Request
from loadtests.peers.world import World

PROGRAMS = Path(__file__).parent / "programs"
REQUIREMENTS = (
    "fastapi",
    "implicit>=0.7.2",
    "numpy",
    "orjson",
    "pandas",
    "scipy",
    "threadpoolctl",
    "uvicorn[standard]",
)


class HomeMade(Peer):
    """A server written for this comparison: feedback stays in the memory of its process."""

    name: ClassVar[str] = "FastAPI + implicit"
    note: ClassVar[str] = "64 factors; feedback is lost when its one process ends"

    def install(self) -> None:
        """Install the newest versions of its libraries."""
        self._environment = environment("home-made", REQUIREMENTS)

    def train(self, world: World) -> None:
        """Train ALS and pickle the data of the server."""
        self._environment.run(
            "python", str(PROGRAMS / "home_made_train.py"), str(world.interactions), str(self._pickle)
        )

    def start(self, world: World) -> None:
        """Start one uvicorn process; the world's users are in the pickle."""
        del world
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [self._environment.program("uvicorn"), "home_made_server:app", "--app-dir", str(PROGRAMS)]
        command += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
        env = {"MODEL": str(self._pickle), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # one core
        self._running.enter_context(
            running_process(command, lambda: responds(f"{self.url}/health"), core=self.core, env=env)
        )

    def recommend(self, k: int) -> Request:
        """GET /recommend."""
        return Request("GET", f"/recommend?user_id={USER}&k={k}")

    def feedback(self, item_ids: list[str]) -> Request:
        """POST /feedback with all events in one request."""
        return Request("POST", "/feedback", json.dumps({"user_id": USER, "item_ids": item_ids}))

    def item_ids(self, body: bytes) -> list[str]:
        """Item ids of the list."""
        return [item["item_id"] for item in json.loads(body)["items"]]

    @property
    def _pickle(self) -> Path:
        return self.folder / "model.pickle"
