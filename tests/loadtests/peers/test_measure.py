"""All peers are measured alike: checked on a peer with predictable responses."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from loadtests.peers.measure import Load, measure_peer
from loadtests.peers.peer import USER, Peer, Request
from loadtests.peers.world import World, made_up_world

LOAD = Load(seconds=1, warm_up=1, connections=2, k=3)
Measured = tuple["Online", dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    """Users with a list get it; others get 404 until their feedback, or a training with them."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        lists: dict[str, list[str]] = self.server.lists  # type: ignore[attr-defined]
        if self.path == "/feedback":
            lists[body["user"]] = body["items"]
        items = lists.get(body["user"])
        content = json.dumps(items or []).encode()
        self.send_response(200 if items else 404)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        pass


class Online(Peer):
    """Returns the items of a user's feedback; a training adds all users of its world."""

    name = "online"
    note = "of this test"
    takes_feedback = True

    def install(self) -> None:
        self.trainings: list[World] = []

    def train(self, world: World) -> None:
        self.trainings.append(world)

    def start(self, world: World) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.lists = {user_id: ["1", "2", "3"] for user_id in world.user_ids}  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self._running.callback(server.server_close)
        self._running.callback(thread.join)
        self._running.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}"

    def recommend(self, k: int) -> Request:
        return Request("POST", "/list", json.dumps({"user": USER, "k": k}))

    def feedback(self, item_ids: list[str]) -> Request | None:
        body = json.dumps({"user": USER, "items": item_ids})
        return Request("POST", "/feedback", body) if self.takes_feedback else None

    def item_ids(self, body: bytes) -> list[str]:
        return json.loads(body)


class Offline(Online):
    """The same without feedback."""

    takes_feedback = False


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made_up_world(60, 600, 0, tmp_path_factory.mktemp("world"))


@pytest.fixture(params=[Online, Offline])
def measured(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Measured:
    if shutil.which("wrk") is None:
        pytest.skip("wrk is not installed")
    peer = request.param(tmp_path / "peer", None)
    peer.install()
    peer.start(world)
    try:
        return peer, measure_peer(peer, world, LOAD, tmp_path)
    finally:
        peer.stop()


def test_users_of_the_world_get_lists_without_a_failure(measured: Measured) -> None:
    _, figures = measured
    assert figures["recommend"]["failures"] == 0
    assert figures["recommend"]["rate"] > 0


def test_a_refused_new_user_is_reported_with_the_status(measured: Measured) -> None:
    _, figures = measured
    assert figures["new_user"] == {"status": 404, "items": 0}


def test_lists_change_by_feedback_or_else_by_training_again(measured: Measured, world: World) -> None:
    peer, figures = measured
    adaptation = figures["adaptation"]
    assert adaptation["seconds"] > 0
    if peer.takes_feedback:
        assert (adaptation["how"], peer.trainings) == ("feedback", [])
        assert adaptation["personal"] > 0.5
    else:
        assert adaptation["how"] == "training again"
        (joined,) = peer.trainings
        assert set(joined.user_ids) - set(world.user_ids) == {"920000000"}
        assert len(joined.events()) == len(world.events()) + adaptation["events"]
