"""The usual home-made recommender: FastAPI, ALS of ``implicit`` in a pickle, new users by ``recalculate_user``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from loadtests.kit.processes import answers, free_port, running_process
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
    """Our own, written as well as we can: what comes in is kept in the process's memory, lists are made at once."""

    name: ClassVar[str] = "FastAPI + implicit"
    note: ClassVar[str] = "64 factors; feedback lives in the memory of its one process and is gone with it"

    def install(self) -> None:
        """Its libraries, newest versions."""
        self._environment = environment("home-made", REQUIREMENTS)

    def learn(self, world: World) -> None:
        """ALS, and what the server needs, in one pickle."""
        self._environment.run(
            "python", str(PROGRAMS / "home_made_train.py"), str(world.interactions), str(self._pickle)
        )

    def start(self, world: World) -> None:
        """One uvicorn process; the world's users are in the pickle."""
        del world
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [self._environment.program("uvicorn"), "home_made_server:app", "--app-dir", str(PROGRAMS)]
        command += ["--port", str(port), "--no-access-log", "--log-level", "warning"]
        env = {"MODEL": str(self._pickle), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # one core
        self._running.enter_context(
            running_process(command, lambda: answers(f"{self.url}/health"), core=self.core, env=env)
        )

    def ask(self, k: int) -> Request:
        """GET /recommend."""
        return Request("GET", f"/recommend?user_id={USER}&k={k}")

    def tell(self, item_ids: list[str]) -> Request:
        """POST /feedback, all in one."""
        return Request("POST", "/feedback", json.dumps({"user_id": USER, "item_ids": item_ids}))

    def item_ids(self, answer: bytes) -> list[str]:
        """The ids of the list."""
        return [item["item_id"] for item in json.loads(answer)["items"]]

    @property
    def _pickle(self) -> Path:
        return self.folder / "model.pickle"
