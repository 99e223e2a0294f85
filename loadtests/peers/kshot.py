"""kshot: trained by ``kshot train``, with the users' events sent by POST /feedback."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

import httpx

from loadtests.kit.processes import running_service, running_user_store
from loadtests.peers.environment import Environment
from loadtests.peers.peer import USER, Peer, Request
from loadtests.peers.world import World

EPOCHS = 30
MAX_EVENTS = 256  # of a user, in one request


class Kshot(Peer):
    """``kshot serve`` with a user store in a process of its own."""

    name: ClassVar[str] = "kshot"
    note: ClassVar[str] = f"trained for at most {EPOCHS} epochs; users in Valkey with its log on disk"

    def install(self) -> None:
        """Use the environment of this program."""
        self._environment = Environment(Path(sys.prefix))

    def train(self, world: World) -> None:
        """Run ``kshot train``."""
        arguments = ["--data", str(world.folder), "--bundles", str(self._bundles), "--max-epochs", str(EPOCHS)]
        self._environment.run("kshot", "train", *arguments)

    def start(self, world: World) -> None:
        """Start the service and send the last events of every user."""
        redis = self._running.enter_context(running_user_store())
        service = self._running.enter_context(running_service(self._bundles, redis, core=self.core))
        self.url = service.url
        with httpx.Client(base_url=self.url) as client:
            for (user_id,), rows in world.events().group_by("user_id", maintain_order=True):
                events = rows.tail(MAX_EVENTS).select("item_id", "value", "timestamp").to_dicts()
                client.post("/feedback", json={"user_id": user_id, "events": events}).raise_for_status()

    def recommend(self, k: int) -> Request:
        """GET /recommend."""
        return Request("GET", f"/recommend?user_id={USER}&k={k}")

    def feedback(self, item_ids: list[str]) -> Request:
        """POST /feedback with all events in one request."""
        events = [{"item_id": item_id, "value": 5} for item_id in item_ids]
        return Request("POST", "/feedback", json.dumps({"user_id": USER, "events": events}))

    def item_ids(self, body: bytes) -> list[str]:
        """Item ids of the list."""
        return [item["item_id"] for item in json.loads(body)["items"]]

    @property
    def _bundles(self) -> Path:
        return self.folder / "bundles"
