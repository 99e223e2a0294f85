"""This service: trained by ``kshot train``, told of its users by POST /feedback as any client would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

import httpx

from loadtests.kit.processes import running_service, running_store
from loadtests.peers.environment import Environment
from loadtests.peers.peer import USER, Peer, Request
from loadtests.peers.world import World

EPOCHS = 30
BATCH = 256


class Kshot(Peer):
    """``kshot serve`` over a store in a process of its own."""

    name: ClassVar[str] = "kshot"
    note: ClassVar[str] = f"trained for at most {EPOCHS} epochs; state of users in Valkey, its log on disk"

    def install(self) -> None:
        """It is what runs this program."""
        self._environment = Environment(Path(sys.prefix))

    def learn(self, world: World) -> None:
        """``kshot train``; what it says of quality is not asked here."""
        arguments = ["--data", str(world.folder), "--store", str(self._store), "--max-epochs", str(EPOCHS)]
        self._environment.run("kshot", "train", *arguments)

    def start(self, world: World) -> None:
        """Serve, and tell the service what each user did."""
        redis = self._running.enter_context(running_store())
        service = self._running.enter_context(running_service(self._store, redis, core=self.core))
        self.url = service.url
        with httpx.Client(base_url=self.url) as client:
            for (user_id,), theirs in world.events().group_by("user_id", maintain_order=True):
                events = theirs.tail(BATCH).select("item_id", "value", "timestamp").to_dicts()
                client.post("/feedback", json={"user_id": user_id, "events": events}).raise_for_status()

    def ask(self, k: int) -> Request:
        """GET /recommend."""
        return Request("GET", f"/recommend?user_id={USER}&k={k}")

    def tell(self, item_ids: list[str]) -> Request:
        """POST /feedback, all in one."""
        events = [{"item_id": item_id, "value": 5} for item_id in item_ids]
        return Request("POST", "/feedback", json.dumps({"user_id": USER, "events": events}))

    def item_ids(self, answer: bytes) -> list[str]:
        """The ids of the list."""
        return [item["item_id"] for item in json.loads(answer)["items"]]

    @property
    def _store(self) -> Path:
        return self.folder / "store"
